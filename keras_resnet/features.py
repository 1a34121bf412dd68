"""Provides `feature_info`, which describes the outputs of a network's stages."""

from dataclasses import dataclass

import keras

from keras_resnet.blocks import channel_axis
from keras_resnet.builder import stride_of


@dataclass(frozen=True)
class FeatureInfo:
    """Describes the output of one stage.

    Attributes:
        name: key in the model's outputs.
        channels: number of channels.
        stride: pixels of the image per pixel of the output, in height and width.
    """

    name: str
    channels: int
    stride: int


def feature_info(model: keras.Model) -> list[FeatureInfo]:
    """Describes the outputs of a model that `create_model` or `build` returned with `features_only=True`.

    Raises:
        ValueError: the model's outputs are not those of its stages.
    """
    description = getattr(model, "description", None)
    if description is None or not isinstance(model.output, dict):
        raise ValueError(f"{model.name}: expected a network of this package made with features_only=True")
    return [
        FeatureInfo(name, output.shape[channel_axis()], stride_of(description.spec, number))
        for number, (name, output) in enumerate(model.output.items(), 1)
    ]
