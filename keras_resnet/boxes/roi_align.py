"""RoIAlign (He et al. 2017, section 3): features of boxes by bilinear interpolation. Boxes get no gradients."""

import math
from typing import Literal

import numpy as np
import tensorflow as tf

from keras_resnet.boxes.iou import area


def assign_levels(boxes, min_level, max_level, canonical_size=224, canonical_level=4):
    """boxes (..., 4) -> (...) int32: the index of the feature map of each box, 0 for `min_level`.

    A box of canonical_size^2 pixels is on canonical_level, one of half that side a level below (Lin et al. 2017,
    equation 1). Rounding may make the logarithm of a box at the limit too small; torchvision's 1e-6 corrects it.
    """
    sides = tf.sqrt(area(boxes))
    levels = tf.floor(canonical_level + tf.math.log(sides / canonical_size) / math.log(2) + 1e-6)
    return tf.cast(tf.clip_by_value(levels, min_level, max_level), tf.int32) - min_level


def roi_align(
    features,
    strides,
    boxes,
    levels=None,
    *,
    output_size,
    sampling_ratio=2,
    aligned=True,
    pooling: Literal["average", "max"] = "average",
    implementation: Literal["gather", "crop"] = "gather",
):
    """features, a list of (N, h, w, C), boxes (N, R, 4) -> (N, R, output_size, output_size, C), in the features' dtype.

    Each bin of a box has sampling_ratio^2 points. Points outside the outermost centers of cells have the value of the
    nearest center; points more than a cell outside are 0. detectron2's default, more points in larger boxes, is not
    provided.

    Args:
        features: one feature map per level.
        strides: pixels of the image per cell, one number per level.
        boxes: pixels of the image.
        levels: (N, R) int32, index of the feature map of each box (`assign_levels`). None: the only one.
        output_size: bins along each side of a box.
        sampling_ratio: points along each side of a bin.
        aligned: True: the center of the first cell is half a stride from the border, as in detectron2. False: it is on
            the border, and boxes are at least one cell large; torchvision's detectors are trained so.
        pooling: of the points in a bin; "max" is the closest to the RoI pooling of Fast R-CNN.
        implementation: "gather" compiles with XLA and converts to LiteRT's own operators. "crop" takes one feature map,
            and is faster there if it has many channels. The gradient of "crop" has equal bits in two runs only after
            `tf.config.experimental.enable_op_determinism()`.

    Raises:
        ValueError: for an unknown choice, `crop` with several feature maps, or several feature maps without `levels`.
    """
    _check_arguments(features, levels, pooling, implementation)
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    levels = tf.zeros(tf.shape(boxes)[:2], tf.int32) if levels is None else levels
    scale = 1 / tf.gather(tf.constant(strides, tf.float32), levels)
    points = _sample_points(boxes * scale[..., None], output_size * sampling_ratio, aligned)
    if implementation == "gather":
        samples = _samples_by_gather(features, levels, *points)
    else:
        samples = _samples_by_crop(features[0], *points)
    pooled = _pool(samples, sampling_ratio, pooling)
    shape = [tf.shape(boxes)[0], tf.shape(boxes)[1], output_size, output_size, features[0].shape[-1]]
    return tf.cast(tf.reshape(pooled, shape), features[0].dtype)


def _check_arguments(features, levels, pooling, implementation):
    if pooling not in ("average", "max"):
        raise ValueError(f"pooling is {pooling!r}; allowed are 'average', 'max'")
    if implementation not in ("gather", "crop"):
        raise ValueError(f"implementation is {implementation!r}; allowed are 'gather', 'crop'")
    if implementation == "crop" and len(features) > 1:
        raise ValueError(f"implementation 'crop' takes 1 feature map, not {len(features)}; 'gather' takes any number")
    if levels is None and len(features) > 1:
        raise ValueError(f"levels is None with {len(features)} feature maps; each box needs the index of one")


def _sample_points(boxes, count, aligned):
    """boxes (N, R, 4) in cells -> y and x (N, R, count), 0 at the center of the first cell."""
    y1, x1, y2, x2 = tf.unstack(boxes - 0.5 if aligned else boxes, axis=-1)
    height, width = y2 - y1, x2 - x1
    if not aligned:
        height, width = tf.maximum(height, 1.0), tf.maximum(width, 1.0)
    fractions = tf.constant((np.arange(count) + 0.5) / count, tf.float32)
    return y1[..., None] + height[..., None] * fractions, x1[..., None] + width[..., None] * fractions


def _samples_by_gather(features, levels, y, x):
    """features of all levels, levels (N, R), y and x (N, R, n) -> values at the points (N * R, n, n, C) float32."""
    batch, boxes, points, channels = tf.shape(levels)[0], tf.shape(levels)[1], y.shape[-1], features[0].shape[-1]
    heights, widths = (tf.stack([tf.shape(feature)[axis] for feature in features]) for axis in (1, 2))
    starts = tf.cumsum(heights * widths, exclusive=True)
    height, width, start = (tf.gather(each, levels)[..., None] for each in (heights, widths, starts))
    cells = tf.concat([tf.reshape(feature, [batch, -1, channels]) for feature in features], axis=1)
    samples = 0.0
    for row, row_weight in _neighbors(y, height):
        for column, column_weight in _neighbors(x, width):
            index = (start + row * width)[..., :, None] + column[..., None, :]
            weight = row_weight[..., :, None] * column_weight[..., None, :]
            values = tf.gather(cells, tf.reshape(index, [batch, boxes * points**2]), batch_dims=1)
            samples += tf.cast(values, tf.float32) * tf.reshape(weight, [batch, boxes * points**2, 1])
    return tf.reshape(samples, [batch * boxes, points, points, channels])


def _neighbors(position, size):
    """position (N, R, n), size (N, R, 1) -> index and weight (N, R, n) of the cell before, and of the cell after."""
    last = tf.cast(size, tf.float32) - 1
    near = tf.cast((position >= -1) & (position <= last + 1), tf.float32)
    position = tf.clip_by_value(position, 0.0, last)
    before = tf.floor(position)
    after = tf.minimum(before + 1, last)
    fraction = position - before
    return (tf.cast(before, tf.int32), (1 - fraction) * near), (tf.cast(after, tf.int32), fraction * near)


def _samples_by_crop(feature, y, x):
    """feature (N, h, w, C), y and x (N, R, n) -> values at the points (N * R, n, n, C) float32.

    The points are equally spaced, as those of tf.image.crop_and_resize from its first to its last. A border of one cell
    gives the points beyond the outermost centers their values; further out crop_and_resize returns 0.
    """
    bordered = tf.pad(tf.cast(feature, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    height, width = tf.cast(tf.shape(feature)[1] + 1, tf.float32), tf.cast(tf.shape(feature)[2] + 1, tf.float32)
    first_last = [
        (y[..., 0] + 1) / height,
        (x[..., 0] + 1) / width,
        (y[..., -1] + 1) / height,
        (x[..., -1] + 1) / width,
    ]
    images = tf.repeat(tf.range(tf.shape(y)[0]), tf.shape(y)[1])
    corners = tf.reshape(tf.stack(first_last, axis=-1), [-1, 4])
    return tf.image.crop_and_resize(bordered, corners, images, [y.shape[-1], x.shape[-1]])


def _pool(samples, sampling_ratio, pooling):
    """samples (B, n, n, C) -> bins (B, n / sampling_ratio, n / sampling_ratio, C).

    Pooling has 4-D tensors only: LiteRT's XNNPACK refuses a mean over some axes of a 7-D tensor.
    """
    if sampling_ratio == 1:
        return samples
    pool = tf.nn.avg_pool2d if pooling == "average" else tf.nn.max_pool2d
    return pool(samples, sampling_ratio, sampling_ratio, "VALID")
