"""Builds the parts of a detector that follow the trunk, each a Keras model."""

import keras
from keras import layers

from keras_resnet.blocks import batch_norm


def feature_pyramid(
    shapes: dict[int, tuple], channels: int, extra_level: bool, normalized: bool = False
) -> keras.Model:
    """{"level2": (N, h, w, C), ...} -> {level: (N, h, w, channels)}: the feature pyramid of Lin et al. 2017.

    Args:
        shapes: level -> (h, w, C) of the trunk's outputs; the stride of a level is 2 ** level.
        channels: channels of every level.
        extra_level: add one more level of half the resolution, every second value of the last one.
        normalized: with batch normalization after each convolution, in place of its bias.
    """
    inputs = {level: keras.Input(shape, name=f"level{level}") for level, shape in shapes.items()}
    found, above = {}, None
    for level in sorted(shapes, reverse=True):
        lateral = _conv(inputs[level], channels, 1, "fpn_lateral", level, normalized)
        if above is not None:
            height, width = lateral.shape[1:3]
            doubled = layers.UpSampling2D(2, name=f"fpn_double{level}")(above)
            rows, columns = doubled.shape[1] - height, doubled.shape[2] - width  # one more where a side was odd
            if rows or columns:
                doubled = layers.Cropping2D(((0, rows), (0, columns)), name=f"fpn_crop{level}")(doubled)
            lateral = layers.Add(name=f"fpn_add{level}")([lateral, doubled])
        above = lateral
        found[level] = _conv(lateral, channels, 3, "fpn_output", level, normalized)
    if extra_level:
        last = max(found)
        found[last + 1] = layers.MaxPooling2D(1, 2, name=f"fpn_extra{last + 1}")(found[last])
    return keras.Model({each.name: each for each in inputs.values()}, dict(sorted(found.items())), name="fpn")


def region_proposal_network(inputs: int, anchors: int, channels: int, convolutions: int = 1) -> keras.Model:
    """features (N, h, w, inputs) -> (scores (N, h, w, anchors), deltas (N, h, w, 4 anchors)), of Ren et al. 2015.

    The 3x3 convolutions have `channels`.
    """
    x = features = keras.Input((None, None, inputs), name="features")
    for number in ("", *map(str, range(2, convolutions + 1))):
        conv = layers.Conv2D(channels, 3, padding="same", kernel_initializer=_normal(0.01), name=f"rpn_conv{number}")
        x = layers.ReLU(name=f"rpn_relu{number}")(conv(x))
    scores = layers.Conv2D(anchors, 1, kernel_initializer=_normal(0.01), name="rpn_scores")(x)
    deltas = layers.Conv2D(4 * anchors, 1, kernel_initializer=_normal(0.01), name="rpn_deltas")(x)
    return keras.Model(features, [scores, deltas], name="rpn")


def roi_head(
    shape: tuple[int, int, int], features: int, *, dense: int = 2, convolutions: int = 0, normalized: bool = False
) -> keras.Model:
    """RoI features (N, *shape) -> (N, features): convolutions and fully connected layers (Lin et al. 2017)."""
    x = inputs = keras.Input(shape, name="roi_features")
    for i in range(1, convolutions + 1):
        x = _conv(x, shape[-1], 3, "box_conv", i, normalized, "he_normal")
        x = layers.ReLU(name=f"box_conv_relu{i}")(x)
    x = layers.Flatten(name="box_flatten")(x)
    for i in range(1, dense + 1):
        x = layers.Dense(features, name=f"box_dense{i}")(x)
        x = layers.ReLU(name=f"box_relu{i}")(x)
    return keras.Model(inputs, x, name="roi_head")


def box_head(features: int, logits: int, boxes: int) -> keras.Model:
    """features (N, features) -> (logits (N, logits), background first, deltas (N, 4 boxes)): the siblings."""
    x = keras.Input((features,), name="box_features")
    scores = layers.Dense(logits, kernel_initializer=_normal(0.01), name="box_scores")(x)
    deltas = layers.Dense(4 * boxes, kernel_initializer=_normal(0.001), name="box_deltas")(x)
    return keras.Model(x, [scores, deltas], name="box_head")


def _conv(x, channels, size, name, number, normalized, initializer="glorot_uniform"):
    """Applies the convolution `name``number`, and the normalization `name`_bn`number` in place of its bias."""
    conv = layers.Conv2D(
        channels,
        size,
        padding="same",
        use_bias=not normalized,
        kernel_initializer=initializer,
        name=f"{name}{number}",
    )
    return batch_norm(f"{name}_bn{number}")(conv(x)) if normalized else conv(x)


def mask_head(
    shape: tuple[int, int, int], channels: int, convolutions: int, classes: int, normalized: bool = False
) -> keras.Model:
    """RoI features (N, h, w, C) -> logits (N, 2 h, 2 w, classes): the mask of each class, of He et al. 2017."""
    x = inputs = keras.Input(shape, name="mask_features")
    for i in range(1, convolutions + 1):
        x = _conv(x, channels, 3, "mask_conv", i, normalized, "he_normal")
        x = layers.ReLU(name=f"mask_relu{i}")(x)
    x = layers.Conv2DTranspose(channels, 2, 2, kernel_initializer="he_normal", name="mask_deconv")(x)
    x = layers.ReLU(name="mask_relu")(x)
    logits = layers.Conv2D(classes, 1, kernel_initializer=_normal(0.001), name="mask_scores")(x)
    return keras.Model(inputs, logits, name="mask_head")


def _normal(stddev):
    return keras.initializers.RandomNormal(stddev=stddev)
