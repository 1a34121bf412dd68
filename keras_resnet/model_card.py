"""Writes model cards: Markdown with the YAML metadata that the Hugging Face Hub reads."""


def model_card(title: str, network: str, text: str, license: str | None = None) -> str:
    """Returns the model card of an image classifier.

    Args:
        title: heading of the card.
        network: name of the network, for the tags.
        text: Markdown below the heading.
        license: license of the weights, as the Hub names it; None leaves it out.
    """
    lines = [
        "---",
        "library_name: keras",
        "pipeline_tag: image-classification",
        f"tags: [keras_resnet, {network}]",
        *([f"license: {license}"] if license else []),
        "---",
        f"# {title}",
        "",
        text,
        "",
    ]
    return "\n".join(lines)
