"""Overlaps of all pairs of two sets of boxes. A box without area overlaps nothing."""

import tensorflow as tf


def area(boxes):
    """boxes (..., 4) -> (...) float32 square pixels; 0 where y2 <= y1 or x2 <= x1."""
    y1, x1, y2, x2 = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)
    return tf.maximum(y2 - y1, 0.0) * tf.maximum(x2 - x1, 0.0)


def pairwise_intersection(boxes, others):
    """boxes (..., R, 4), others (..., S, 4) -> square pixels (..., R, S) float32."""
    y1, x1, y2, x2 = tf.unstack(tf.cast(boxes, tf.float32)[..., :, None, :], axis=-1)
    other_y1, other_x1, other_y2, other_x2 = tf.unstack(tf.cast(others, tf.float32)[..., None, :, :], axis=-1)
    height = tf.minimum(y2, other_y2) - tf.maximum(y1, other_y1)
    width = tf.minimum(x2, other_x2) - tf.maximum(x1, other_x1)
    return tf.maximum(height, 0.0) * tf.maximum(width, 0.0)


def pairwise_iou(boxes, others):
    """boxes (..., R, 4), others (..., S, 4) -> intersection over union (..., R, S) float32."""
    intersection = pairwise_intersection(boxes, others)
    union = area(boxes)[..., :, None] + area(others)[..., None, :] - intersection
    return tf.math.divide_no_nan(intersection, union)


def pairwise_ioa(boxes, regions):
    """boxes (..., R, 4), regions (..., S, 4) -> intersection over the area of `boxes` (..., R, S) float32."""
    return tf.math.divide_no_nan(pairwise_intersection(boxes, regions), area(boxes)[..., :, None])
