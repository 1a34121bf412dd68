"""Boxes as regression targets relative to anchors (Girshick et al. 2014, appendix C), and clipping to an image."""

import math

import tensorflow as tf

# Decoded sides are at most 62.5 times the anchor's, as in torchvision, detectron2 and tf-models-official. Early in
# training heads predict deltas whose exponential is infinite.
_MAX_LOG_SIDE = math.log(1000 / 16)
# Targets of degenerate boxes are finite: a loss that multiplies them with a mask of zeros is not NaN.
_MIN_SIDE = 1e-6


def encode(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """boxes (..., 4), anchors (..., 4) -> deltas (..., 4) float32: (dy, dx, dh, dw) times `weights`.

    dy and dx are the shift of the center in sides of the anchor, dh and dw the logarithms of the sides' ratios.
    """
    y, x, height, width = _center_and_sides(boxes)
    anchor_y, anchor_x, anchor_height, anchor_width = _center_and_sides(anchors)
    height, width, anchor_height, anchor_width = (
        tf.maximum(side, _MIN_SIDE) for side in (height, width, anchor_height, anchor_width)
    )
    deltas = [
        (y - anchor_y) / anchor_height,
        (x - anchor_x) / anchor_width,
        tf.math.log(height / anchor_height),
        tf.math.log(width / anchor_width),
    ]
    return tf.stack(deltas, axis=-1) * tf.constant(weights, tf.float32)


def decode(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """deltas (..., 4), anchors (..., 4) -> boxes (..., 4) float32; the inverse of `encode`.

    dh and dw are limited to log(1000 / 16). Deltas for each class, shape (N, R, K, 4), take anchors (N, R, 1, 4).
    """
    dy, dx, dh, dw = tf.unstack(tf.cast(deltas, tf.float32) / tf.constant(weights, tf.float32), axis=-1)
    anchor_y, anchor_x, anchor_height, anchor_width = _center_and_sides(anchors)
    y, x = anchor_y + dy * anchor_height, anchor_x + dx * anchor_width
    height = tf.exp(tf.minimum(dh, _MAX_LOG_SIDE)) * anchor_height
    width = tf.exp(tf.minimum(dw, _MAX_LOG_SIDE)) * anchor_width
    return tf.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=-1)


def clip(boxes, image_size):
    """boxes (..., 4) -> (..., 4) float32 inside the image.

    A coordinate that is not a number becomes 0. Heads return such coordinates when a run diverges, or when float16
    overflows, and RoIAlign would look for cells there.

    Args:
        boxes: any boxes.
        image_size: height and width, shape (2,), or one size per image that broadcasts against the boxes:
            (N, 1, 2) for boxes (N, R, 4).
    """
    size = tf.cast(image_size, tf.float32)
    clipped = tf.clip_by_value(tf.cast(boxes, tf.float32), 0.0, tf.concat([size, size], axis=-1))
    return tf.where(clipped >= 0, clipped, 0.0)


def inside_image(boxes, image_size, margin=0.0):
    """boxes (..., 4) -> (...) bool: whether a box is at most `margin` pixels outside; `image_size` as in `clip`."""
    boxes, size = tf.cast(boxes, tf.float32), tf.cast(image_size, tf.float32)
    return tf.reduce_all((boxes[..., :2] >= -margin) & (boxes[..., 2:] <= size + margin), axis=-1)


def _center_and_sides(boxes):
    """boxes (..., 4) -> center y, center x, height, width, each (...) float32."""
    y1, x1, y2, x2 = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)
    return (y1 + y2) / 2, (x1 + x2) / 2, y2 - y1, x2 - x1
