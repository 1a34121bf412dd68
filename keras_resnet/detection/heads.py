"""Builds the parts of a detector that follow the trunk, each a Keras model."""

import keras
from keras import layers


def feature_pyramid(shapes: dict[int, tuple], channels: int, extra_level: bool) -> keras.Model:
    """{"level2": (N, h, w, C), ...} -> {level: (N, h, w, channels)}: the feature pyramid of Lin et al. 2017.

    Args:
        shapes: level -> (h, w, C) of the trunk's outputs; the stride of a level is 2 ** level.
        channels: channels of every level.
        extra_level: add one more level of half the resolution, every second value of the last one.
    """
    inputs = {level: keras.Input(shape, name=f"level{level}") for level, shape in shapes.items()}
    found, above = {}, None
    for level in sorted(shapes, reverse=True):
        lateral = layers.Conv2D(channels, 1, name=f"fpn_lateral{level}")(inputs[level])
        if above is not None:
            height, width = lateral.shape[1:3]
            doubled = layers.UpSampling2D(2, name=f"fpn_double{level}")(above)
            rows, columns = doubled.shape[1] - height, doubled.shape[2] - width  # one more where a side was odd
            if rows or columns:
                doubled = layers.Cropping2D(((0, rows), (0, columns)), name=f"fpn_crop{level}")(doubled)
            lateral = layers.Add(name=f"fpn_add{level}")([lateral, doubled])
        above = lateral
        found[level] = layers.Conv2D(channels, 3, padding="same", name=f"fpn_output{level}")(lateral)
    if extra_level:
        last = max(found)
        found[last + 1] = layers.MaxPooling2D(1, 2, name=f"fpn_extra{last + 1}")(found[last])
    return keras.Model({each.name: each for each in inputs.values()}, dict(sorted(found.items())), name="fpn")


def region_proposal_network(channels: int, anchors: int) -> keras.Model:
    """features (N, h, w, channels) -> (scores (N, h, w, anchors), deltas (N, h, w, 4 anchors)), of Ren et al. 2015."""
    inputs = keras.Input((None, None, channels), name="features")
    x = layers.Conv2D(channels, 3, padding="same", kernel_initializer=_normal(0.01), name="rpn_conv")(inputs)
    x = layers.ReLU(name="rpn_relu")(x)
    scores = layers.Conv2D(anchors, 1, kernel_initializer=_normal(0.01), name="rpn_scores")(x)
    deltas = layers.Conv2D(4 * anchors, 1, kernel_initializer=_normal(0.01), name="rpn_deltas")(x)
    return keras.Model(inputs, [scores, deltas], name="rpn")


def box_head(shape: tuple[int, int, int], features: int, classes: int) -> keras.Model:
    """RoI features (N, *shape) -> (logits (N, 1 + classes), background first, deltas (N, 4 classes)).

    Two fully connected layers and two siblings (Girshick 2015; Lin et al. 2017).
    """
    inputs = keras.Input(shape, name="roi_features")
    x = layers.Flatten(name="box_flatten")(inputs)
    for i in (1, 2):
        x = layers.Dense(features, name=f"box_dense{i}")(x)
        x = layers.ReLU(name=f"box_relu{i}")(x)
    logits = layers.Dense(1 + classes, kernel_initializer=_normal(0.01), name="box_scores")(x)
    deltas = layers.Dense(4 * classes, kernel_initializer=_normal(0.001), name="box_deltas")(x)
    return keras.Model(inputs, [logits, deltas], name="box_head")


def mask_head(shape: tuple[int, int, int], channels: int, convolutions: int, classes: int) -> keras.Model:
    """RoI features (N, h, w, C) -> logits (N, 2 h, 2 w, classes): the mask of each class, of He et al. 2017."""
    x = inputs = keras.Input(shape, name="mask_features")
    for i in range(1, convolutions + 1):
        x = layers.Conv2D(channels, 3, padding="same", kernel_initializer="he_normal", name=f"mask_conv{i}")(x)
        x = layers.ReLU(name=f"mask_relu{i}")(x)
    x = layers.Conv2DTranspose(channels, 2, 2, kernel_initializer="he_normal", name="mask_deconv")(x)
    x = layers.ReLU(name="mask_relu")(x)
    logits = layers.Conv2D(classes, 1, kernel_initializer=_normal(0.001), name="mask_scores")(x)
    return keras.Model(inputs, logits, name="mask_head")


def _normal(stddev):
    return keras.initializers.RandomNormal(stddev=stddev)
