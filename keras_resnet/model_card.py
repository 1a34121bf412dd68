"""Writes model cards: Markdown with the YAML metadata that the Hugging Face Hub reads."""

from keras_resnet.description import Preprocessing

_EXIF = {"apply": "applied", "ignore": "ignored (`data.exif_orientation`)"}


def model_card(
    title: str, network: str, text: str, license: str | None = None, pipeline_tag: str = "image-classification"
) -> str:
    """Returns the model card of a model.

    Args:
        title: heading of the card.
        network: name of the network, for the tags.
        text: Markdown below the heading.
        license: license of the weights, as the Hub names it; None leaves it out.
        pipeline_tag: the Hub's name for the task.
    """
    lines = [
        "---",
        "library_name: keras",
        f"pipeline_tag: {pipeline_tag}",
        f"tags: [keras_resnet, {network}]",
        *([f"license: {license}"] if license else []),
        "---",
        f"# {title}",
        "",
        text,
        "",
    ]
    return "\n".join(lines)


def input_lines(preprocessing: Preprocessing) -> list[str]:
    """Returns the sentences of a model card about the model's input."""
    lines = [f"Images are {preprocessing.pixel_values}; the model's first layer normalizes them."]
    if (preprocessing.channels or 3) <= 3:  # .npy and TIFF of many channels have no orientation
        lines.append(f"The EXIF orientation of JPEGs is {_EXIF[preprocessing.exif_orientation]}.")
    return lines
