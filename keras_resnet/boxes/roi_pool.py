"""RoI max pooling (Girshick 2015, section 2.1): the maxima of whole cells in the bins of boxes."""

from typing import NamedTuple

import tensorflow as tf


class _Bins(NamedTuple):
    """The bins of boxes along one axis, each as two windows of 2 ** level cells that cover it; (N, R, bins)."""

    level: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor
    filled: tf.Tensor  # bool: whether the bin has cells


def roi_pool(features, stride, boxes, output_size):
    """features (N, h, w, C), boxes (N, R, 4) -> (N, R, output_size, output_size, C), in the features' dtype.

    The corners of a box are rounded to cells, and each bin is the maximum of its cells; neighboring bins may share
    cells. The last pixel of a box belongs to it, as in Fast R-CNN's code: a box from 0 to 32 has the pixels 0 to 31.
    What is outside of the map is cut off; a bin without cells is 0. Boxes get no gradients.

    Args:
        features: one feature map, whose height and width are known.
        stride: pixels of the image per cell.
        boxes: pixels of the image.
        output_size: bins along each side of a box.
    """
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    height, width, channels = features.shape[1:]
    row_levels, column_levels = (_levels(size, output_size) for size in (height, width))
    rows = _bins(boxes[..., 0], boxes[..., 2], stride, output_size, height)
    columns = _bins(boxes[..., 1], boxes[..., 3], stride, output_size, width)
    cells = _window_maxima(features, row_levels, column_levels)
    start = (rows.level[..., :, None] * column_levels + columns.level[..., None, :]) * height * width
    pooled = None
    for row in (rows.first, rows.last):
        for column in (columns.first, columns.last):
            index = start + row[..., :, None] * width + column[..., None, :]
            corner = tf.gather(cells, tf.reshape(index, [tf.shape(boxes)[0], -1]), batch_dims=1)
            pooled = corner if pooled is None else tf.maximum(pooled, corner)
    shape = [tf.shape(boxes)[0], tf.shape(boxes)[1], output_size, output_size, channels]
    filled = rows.filled[..., :, None] & columns.filled[..., None, :]
    return tf.reshape(pooled, shape) * tf.cast(filled, features.dtype)[..., None]


def _levels(size, bins):
    """Returns the number of powers of two that are no longer than the longest bin along an axis of `size` cells."""
    longest = min(size, -(-(size + 1) // bins) + 1)
    return longest.bit_length()


def _bins(low, high, stride, count, size):
    """low and high (N, R) in pixels -> `_Bins` of boxes along an axis of `size` cells."""
    # Half a cell is rounded up, as in C; tf.round rounds it to the even number.
    # Limits are floats: LiteRT's converter makes an operator of TensorFlow's of an integer that is limited to 6.
    start, end = (tf.clip_by_value(tf.floor(each / stride + 0.5), 0.0, size) for each in (low, high - 1))
    start, end = tf.cast(start, tf.int32), tf.cast(end, tf.int32)
    length = tf.maximum(end - start + 1, 1)[..., None]
    number = tf.range(count)
    first = start[..., None] + number * length // count
    # Rounded up; ONNX's division of negative integers rounds to 0.
    after = tf.minimum(start[..., None] + ((number + 1) * length + count - 1) // count, size)
    cells = after - first
    powers = tf.constant([2**level for level in range(_levels(size, count))], tf.int32)
    level = tf.reduce_sum(tf.cast(cells[..., None] >= powers[1:], tf.int32), axis=-1)
    last = after - tf.gather(powers, level)
    return _Bins(level, tf.minimum(first, size - 1), last, cells > 0)


def _window_maxima(features, row_levels, column_levels):
    """features (N, h, w, C) -> (N, row_levels * column_levels * h * w, C).

    At the levels (i, j), a cell has the maximum of the 2 ** i rows and 2 ** j columns that begin at it. Cells too near
    to the end for that have any of them; no bin reads them.
    """
    height, width, channels = features.shape[1:]
    found = []
    for i in range(row_levels):
        if i:
            features = _doubled(features, 2 ** (i - 1), 1)
        across = features
        for j in range(column_levels):
            if j:
                across = _doubled(across, 2 ** (j - 1), 2)
            found.append(tf.reshape(across, [-1, height * width, channels]))
    return tf.concat(found, axis=1)


def _doubled(maxima, cells, axis):
    """Returns the maxima of windows twice as long as `cells` along an axis of (N, h, w, C)."""
    size = maxima.shape[axis]
    before, after = tf.split(maxima, [size - cells, cells], axis), tf.split(maxima, [cells, size - cells], axis)
    return tf.concat([tf.maximum(before[0], after[1]), before[1]], axis=axis)
