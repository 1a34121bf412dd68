"""The feature pyramid of a network: what each stage returns."""

from dataclasses import dataclass

import keras

from keras_resnet.blocks import channel_axis
from keras_resnet.builder import halving_block


@dataclass(frozen=True)
class FeatureInfo:
    """One level: its key in the model's outputs, its channels, and how many pixels of the image one step covers."""

    name: str
    channels: int
    stride: int


def feature_info(model: keras.Model) -> list[FeatureInfo]:
    """The levels of a model that `create_model(..., features_only=True)` or `build(..., features_only=True)` made.

    Raises:
        ValueError: it returns anything but its stages' outputs.
    """
    description = getattr(model, "description", None)
    if description is None or not isinstance(model.output, dict):
        raise ValueError(f"{model.name}: expected a network of this package made with features_only=True")
    spec = description.spec
    stride = 1 if spec.stem == "cifar" else 4
    levels = []
    for number, (name, output) in enumerate(model.output.items(), 1):
        halves = halving_block(spec, number) or (spec.transition == "pool" and number > 1)
        stride *= 2 if halves else 1
        levels.append(FeatureInfo(name, output.shape[channel_axis()], stride))
    return levels
