"""Names what is in images, with an exported SavedModel.

    python -m keras_resnet predict exports/digits IMAGE... --picture=predictions.png

The model is an export's folder (its newest version is taken) or one version of it.
"""

import os

from absl import flags

from keras_resnet.errors import ConfigError, DataError

PICTURE = flags.DEFINE_string("picture", None, "Also draw the images with their predictions into this PNG file.")


def main(positional):
    """Prints a line per image, best class first."""
    if len(positional) < 2:
        raise ConfigError(
            "expected an export and images, for example: python -m keras_resnet predict exports/digits a.png"
        )
    model, *paths = positional
    folder = newest_version(model)
    check_picture(PICTURE.value)
    contents = [_read(path) for path in paths]
    import tensorflow as tf

    try:
        answer = tf.saved_model.load(folder).signatures["serving_default"]
        if set(answer.structured_input_signature[1]) != {"image_bytes"}:
            raise ValueError("its serving_default does not take image_bytes")
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise ConfigError(f"{folder}: not a SavedModel of export.py: {str(error).splitlines()[0]}") from None
    predictions = []
    for path, content in zip(paths, contents, strict=True):
        try:
            outputs = answer(image_bytes=tf.constant([content]))
        except tf.errors.InvalidArgumentError:
            raise DataError(f"{path}: not an image that can be decoded; expected a grey or RGB JPEG or PNG") from None
        labels = [label.decode() for label in outputs["labels"].numpy()[0]]
        predictions.append(list(zip(labels, outputs["scores"].numpy()[0].tolist(), strict=True)))
    width = max(map(len, paths))
    for path, prediction in zip(paths, predictions, strict=True):
        print(f"{path:<{width}}  " + "  ".join(f"{label} {score:.3f}" for label, score in prediction))
    if PICTURE.value:
        try:
            draw(contents, paths, predictions, PICTURE.value)
        except OSError as error:
            raise ConfigError(f"--picture={PICTURE.value}: cannot be written ({error.strerror})") from None
        print(f"picture: {PICTURE.value}")


def check_picture(path: str | None) -> None:
    """Raises a `ConfigError` where no PNG file can be written at `path`; before any work is done."""
    if path and not path.endswith(".png"):
        raise ConfigError(f"--picture={path}: expected the name of a .png file")
    if path and not os.path.isdir(os.path.dirname(path) or "."):
        raise ConfigError(f"--picture={path}: there is no folder {os.path.dirname(path)}")


def newest_version(path: str) -> str:
    """The SavedModel at `path`, or the one of the highest version inside it.

    Raises:
        ConfigError: there is none.
    """
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return path
    names = os.listdir(path) if os.path.isdir(path) else []
    versions = [
        name for name in names if name.isdecimal() and os.path.isfile(os.path.join(path, name, "saved_model.pb"))
    ]
    if not versions:
        raise ConfigError(f"{path}: no exported SavedModel lies there; export.py makes one")
    return os.path.join(path, max(versions, key=int))


def draw(contents: list[bytes], paths: list[str], predictions: list[list[tuple[str, float]]], picture: str) -> None:
    """Draws each image above bars of its scores into a PNG file; at most 20 images, five in a row."""
    import tensorflow as tf
    from matplotlib.figure import Figure

    shown = list(zip(contents, paths, predictions, strict=True))[:20]
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.2 * columns, 3.4 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[3, 1.4] * rows)
    for row in axes:
        for cell in row:
            cell.axis("off")
    for i, (content, path, prediction) in enumerate(shown):
        image, bars = axes[2 * (i // columns)][i % columns], axes[2 * (i // columns) + 1][i % columns]
        image.imshow(tf.io.decode_image(content, channels=3, expand_animations=False).numpy())
        image.set_title(os.path.basename(path), fontsize=8)
        bars.axis("on")
        labels, scores = zip(*prediction, strict=True)
        bars.barh(range(len(labels)), scores, color=["#0072B2"] + ["#BBBBBB"] * (len(labels) - 1))
        bars.set_yticks(range(len(labels)), labels, fontsize=8)
        bars.set_xticks([0, 1], ["0", "1"], fontsize=7)
        bars.set_xlim(0, 1)
        bars.set_xlabel("score", fontsize=7, labelpad=-6)
        bars.invert_yaxis()
        bars.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=130)


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
