"""The first layer of every model: images in [0, 255] to zero mean and unit deviation."""

import keras
from keras import layers

from keras_resnet.blocks import channel_axis
from keras_resnet.description import IMAGENET_MEAN, IMAGENET_STD


def preprocess(images, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    """images (N, H, W, C) -> the same, zero mean and unit deviation per channel.

    Runs in the variables' precision: bfloat16 has too few digits for pixels that are not whole numbers.
    """
    channels = images.shape[channel_axis()]
    mean, std = (_per_channel(values, channels) for values in (mean, std))
    return layers.Normalization(
        axis=channel_axis(),
        mean=mean,
        variance=[deviation**2 for deviation in std],
        dtype=keras.config.dtype_policy().variable_dtype,
        name="preprocessing",
    )(images)


def _per_channel(values, channels):
    if channels == len(values):
        return list(values)
    if len(values) != 3:
        raise ValueError(f"mean and std must be 3 values or one per channel ({channels}), got {values}")
    average = sum(values) / len(values)
    kept = list(values) if channels > len(values) else []
    return kept + [average] * (channels - len(kept))
