"""Spec -> keras.Model: preprocessing, stem, stages, head."""

import keras
from keras import initializers, layers

from keras_resnet.blocks import block, channel_axis, conv, norm, pad, relu
from keras_resnet.specs import Spec

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB in [0, 255]; torchvision's 0.485, 0.456, 0.406 times 255
IMAGENET_STD = (58.395, 57.12, 57.375)  # 0.229, 0.224, 0.225 times 255


def build(
    spec: Spec,
    *,
    classes: int | None = -1,
    input_shape: tuple | None = None,
    input_tensor=None,
    include_preprocessing: bool = True,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> keras.Model:
    """images (N, H, W, 3) in [0, 255] -> logits (N, classes), or a dict of the stages' outputs.

    Args:
        spec: a row of `SPECS`, or one derived from a row.
        classes: size of the logits; default the row's own (1000 or 10). None leaves the head off:
            {"stage1": (N, H/4, W/4, C1), ...}, for version 2 before the network's last normalization.
        input_shape: (H, W, C) of one image, H and W may be None; default 224 or 32 square, RGB.
        input_tensor: Keras tensor to build upon, in place of a new input. It is treated as images:
            with `include_preprocessing` it must hold values in [0, 255].
        include_preprocessing: subtract `mean` and divide by `std` in the model's first layer.
        mean, std: per channel, in the units of the images. Images with other than 3 channels: the first
            three channels take the three values, any further one their average; 1 or 2 channels (grey,
            grey and alpha) take the average alone.

    Raises:
        ValueError: `classes` is below 1, or `input_shape` is not (H, W, C).
    """
    if classes == -1:
        classes = spec.classes
    if classes is not None and classes < 1:
        raise ValueError(f"classes must be 1 or more, or None for the stages' outputs, got {classes}")
    inputs, images = model_input(spec, input_shape, input_tensor)
    stages, x = features(preprocess(images, mean, std) if include_preprocessing else images, spec)
    outputs = stages if classes is None else head(x, classes)
    return keras.Model(inputs, outputs, name=spec.name)


def model_input(spec, input_shape=None, input_tensor=None):
    """Returns what the model is called with, and the tensor of images (N, H, W, C) that it starts from."""
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            raise ValueError(f"input_tensor must be a Keras tensor, such as keras.Input gives, got {input_tensor!r}")
        return keras.utils.get_source_inputs(input_tensor), input_tensor
    if input_shape is None:
        input_shape = (spec.image_size, spec.image_size)
        input_shape = (3, *input_shape) if channel_axis() == 1 else (*input_shape, 3)
    if len(input_shape) != 3 or input_shape[channel_axis() - 1] is None:
        order = "(C, H, W)" if channel_axis() == 1 else "(H, W, C)"
        raise ValueError(f"input_shape must be {order} with a known number of channels, got {input_shape}")
    images = keras.Input(input_shape, name="images")
    return images, images


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
    average = sum(values) / len(values)
    kept = list(values) if channels > len(values) else []
    return kept + [average] * (channels - len(kept))


def features(x, spec):
    """Preprocessed images -> ({"stage1": ..., ...}, what the head reads (N, H/32, W/32, C))."""
    x = stem(x, spec)
    stages = {}
    for i, (width, depth) in enumerate(zip(spec.widths, spec.depths, strict=True), 1):
        for j in range(1, depth + 1):
            stride = 2 if i > 1 and j == 1 else 1
            x = block(x, spec, width, stride, f"stage{i}_block{j}", first=i == j == 1)
        stages[f"stage{i}"] = x
    if spec.order == "pre":
        x = relu(norm(x, "last_bn"), "last_relu")
    return stages, x


def stem(x, spec):
    """images -> (N, H/4, W/4, C) for ImageNet, (N, H, W, C) for CIFAR."""
    kernel, stride = (7, 2) if spec.stem == "imagenet" else (3, 1)
    x = conv(x, kernel, spec.widths[0], stride, "stem_conv")
    if spec.order == "post":
        x = relu(norm(x, "stem_bn"), "stem_relu")
    if spec.stem == "imagenet":
        # A border must never be the maximum: zeros are not after a ReLU, before one (version 2) only edges are not.
        first, second = (axis for axis in (1, 2, 3) if axis != channel_axis())
        mode = "constant" if spec.order == "post" else "symmetric"
        x = pad(x, {first: (1, 1), second: (1, 1)}, "stem_pool_pad", mode)
        x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    return x


def head(x, classes):
    """(N, H, W, C) -> logits (N, classes), in the variables' precision also under mixed precision."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return layers.Dense(
        classes,
        kernel_initializer=initializers.RandomNormal(stddev=0.01),
        dtype=keras.config.dtype_policy().variable_dtype,
        name="logits",
    )(x)
