"""Writes a model folder in the layout of the Hugging Face Hub: weights, configuration and model card."""

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
    """Writes model.safetensors, config.json and README.md to a temporary folder, and renames it.

    Args:
        target: path of the folder, which must not exist.
        model: a network of this package.
        text: Markdown for the model card: a description of the weights and their accuracy.
        license: license of the weights, as the Hub names it.
        pictures: image files in the text, which are copied to the folder.

    Raises:
        OSError: the folder cannot be written; no part of it is kept.
    """
    staging = f"{target.rstrip(os.sep)}.{unique_suffix()}"
    try:
        os.makedirs(staging)
        save_weights(model, os.path.join(staging, HUB_FILE))
        write_synced(os.path.join(staging, "config.json"), json.dumps(_config(model), indent=1).encode())
        write_synced(os.path.join(staging, "README.md"), _card(target, model, text, license).encode())
        for picture in pictures or []:
            if os.path.isfile(picture):
                shutil.copy(picture, staging)
        os.rename(staging, target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _config(model):
    """Returns the content of config.json, in timm's format."""
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
