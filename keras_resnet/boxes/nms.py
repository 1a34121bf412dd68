"""Non-maximum suppression by one kernel that CPUs, GPUs, XLA and LiteRT have, with results of a fixed size."""

from typing import NamedTuple

import tensorflow as tf


class Kept(NamedTuple):
    """What suppression keeps of each image: the best first, then padding."""

    indices: tf.Tensor  # (N, count) int32, of the boxes; 0 in padding
    counts: tf.Tensor  # (N,) int32


def nms(boxes, scores, count, iou_threshold, score_threshold=None) -> Kept:
    """boxes (N, R, 4), scores (N, R) -> indices (N, count) and counts (N,) of the boxes that no better one overlaps.

    Args:
        boxes: of N images; R is at least 1.
        scores: the greatest is the best. Padding has a score of at most `score_threshold`.
        count: greatest number of boxes kept per image.
        iou_threshold: boxes with a greater IoU are the same object.
        score_threshold: only boxes with a greater score are kept. None: all.
    """
    threshold = tf.float32.min if score_threshold is None else score_threshold

    def keep(image):
        return Kept(
            *tf.raw_ops.NonMaxSuppressionV4(
                boxes=image[0],
                scores=image[1],
                max_output_size=count,
                iou_threshold=tf.constant(iou_threshold, tf.float32),
                score_threshold=tf.constant(threshold, tf.float32),
                pad_to_max_output_size=True,
            )
        )

    images = tf.cast(boxes, tf.float32), tf.cast(scores, tf.float32)
    if images[0].shape[0] == 1:  # without a loop, for LiteRT and ONNX
        return Kept(*(each[None] for each in keep([each[0] for each in images])))
    signature = Kept(tf.TensorSpec([count], tf.int32), tf.TensorSpec([], tf.int32))
    return tf.map_fn(keep, images, fn_output_signature=signature)


def class_nms(boxes, scores, classes, count, iou_threshold, score_threshold=None) -> Kept:
    """boxes (N, R, 4), scores (N, R), classes (N, R) int -> as `nms`; boxes suppress boxes of their own class only.

    Each class is moved to a region of its own, so that one call serves all classes. `count` is of all classes together.
    """
    boxes = tf.cast(boxes, tf.float32)
    low, high = (extreme(boxes, axis=[1, 2], keepdims=True) for extreme in (tf.reduce_min, tf.reduce_max))
    offsets = tf.cast(classes, tf.float32)[..., None] * (high - low + 1)
    return nms(boxes - low + offsets, scores, count, iou_threshold, score_threshold)


def take(kept: Kept, tensor):
    """tensor (N, R, ...) -> (N, count, ...): the rows that were kept, then zeros."""
    rows = tf.gather(tensor, kept.indices, batch_dims=1)
    valid = tf.range(tf.shape(rows)[1])[None] < kept.counts[:, None]
    valid = tf.reshape(valid, tf.concat([tf.shape(valid), tf.ones([len(rows.shape) - 2], tf.int32)], axis=0))
    return tf.where(valid, rows, tf.zeros_like(rows))
