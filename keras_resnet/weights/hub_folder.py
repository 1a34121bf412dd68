"""A folder as the Hugging Face Hub keeps models: the weights, what they are, and a card."""

import json
import os
import shutil

import keras

from keras_resnet.files import unique_suffix, write_synced
from keras_resnet.weights.native import save_weights
from keras_resnet.weights.published import HUB_FILE


def write_hub_folder(
    target: str, model: keras.Model, text: str, license: str | None = None, pictures: list[str] | None = None
) -> None:
    """Writes model.safetensors, config.json and README.md aside, and renames the folder once.

    Args:
        target: the folder, not there yet.
        model: a network of this package.
        text: Markdown for the card: what the weights are and how good.
        license: of the weights, as the Hub names it.
        pictures: files that the text shows, which go along.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    aside = f"{target.rstrip(os.sep)}.{unique_suffix()}"
    try:
        os.makedirs(aside)
        save_weights(model, os.path.join(aside, HUB_FILE))
        write_synced(os.path.join(aside, "config.json"), json.dumps(_config(model), indent=1).encode())
        write_synced(os.path.join(aside, "README.md"), _card(target, model, text, license).encode())
        for picture in pictures or []:
            if os.path.isfile(picture):
                shutil.copy(picture, aside)
        os.rename(aside, target)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _config(model):
    """What a program wants to know before it loads the weights, in the terms of timm's config.json."""
    about = model.description
    spec, preprocessing = about.spec, about.preprocessing
    side = preprocessing.image_size or spec.image_size
    return {
        "architecture": spec.name,
        "version": spec.version,
        "num_classes": model.output.shape[-1],
        "label_names": list(about.labels),
        "pretrained_cfg": {
            "input_size": [model.input.shape[-1], side, side],
            "mean": [value / 255 for value in preprocessing.mean],
            "std": [value / 255 for value in preprocessing.std],
            "crop_pct": preprocessing.crop_pct,
            "interpolation": preprocessing.interpolation,
        },
        "library_name": "keras_resnet",
    }


def _card(target, model, text, license):
    name = os.path.basename(os.path.abspath(target))
    spec = model.description.spec
    head = ["library_name: keras", "pipeline_tag: image-classification", f"tags: [keras_resnet, {spec.name}]"]
    return "\n".join(
        [
            "---",
            *head,
            *([f"license: {license}"] if license else []),
            "---",
            f"# {name}",
            "",
            text,
            "",
            "## Use",
            "",
            "```python",
            "import keras_resnet",
            "",
            f'model = keras_resnet.from_weights("hf://OWNER/{name}")  # images (N, H, W, C) in [0, 255] -> scores',
            "```",
            "",
            f"Network: `{spec.name}`, version {spec.version}, {model.count_params():,} parameters with statistics. The",
            "normalization of images is the model's first layer; config.json has it too.",
            "",
        ]
    )
