"""Provides the proposals of the region proposal network (Ren et al. 2015)."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.boxes.nms import class_nms, take


class Proposed(NamedTuple):
    """The output of the region proposal network for all anchors, and its proposals."""

    anchors: np.ndarray  # (A, 4)
    scores: tf.Tensor  # (N, A) float32 logits
    deltas: tf.Tensor  # (N, A, 4) float32
    boxes: tf.Tensor  # (N, P, 4) float32, the best first, without gradient
    counts: tf.Tensor  # (N,) int32, of the boxes; the rest is padding

    @property
    def real(self):
        """Returns which boxes are no padding, (N, P) bool."""
        return tf.range(self.boxes.shape[1])[None] < self.counts[:, None]


def proposals_of(outputs, anchors, options, image_size, training=False) -> Proposed:
    """Outputs of the region proposal network for every level -> its proposals.

    Args:
        outputs: for each level, scores (N, h, w, A) and deltas (N, h, w, 4 A).
        anchors: for each level, (h * w * A, 4).
        options: the `DetectorOptions`.
        image_size: height and width of the images.
        training: take the numbers of proposals for training.
    """
    before, count = (numbers[0 if training else 1] for numbers in (options.proposals_before_nms, options.proposals))
    scores = [_rows(each, 1)[..., 0] for each, _ in outputs]
    deltas = [_rows(each, 4) for _, each in outputs]
    best = [_best(*each, before, options, image_size) for each in zip(scores, deltas, anchors, strict=True)]
    boxes, box_scores = (tf.concat(parts, axis=1) for parts in zip(*best, strict=True))
    levels = tf.concat([tf.fill(tf.shape(each), i) for i, (_, each) in enumerate(best)], axis=1)
    kept = class_nms(boxes, box_scores, levels, count, options.proposal_nms_iou)
    return Proposed(
        np.concatenate(anchors),
        tf.concat(scores, axis=1),
        tf.concat(deltas, axis=1),
        tf.stop_gradient(take(kept, boxes)),
        kept.counts,
    )


def _best(scores, deltas, anchors, count, options, image_size):
    """scores (N, A), deltas (N, A, 4) -> boxes (N, count, 4) and scores (N, count) of the best anchors of a level."""
    scores, indices = tf.math.top_k(tf.stop_gradient(scores), min(count, scores.shape[1]))
    deltas = tf.gather(tf.stop_gradient(deltas), indices, batch_dims=1)
    boxes = coding.decode(deltas, tf.gather(tf.constant(anchors), indices))
    boxes = coding.clip(boxes, image_size)
    if options.min_proposal_size:
        scores = tf.where(shorter_side(boxes) >= options.min_proposal_size, scores, tf.float32.min)
    return boxes, scores


def shorter_side(boxes):
    """boxes (..., 4) -> (...): the shorter of height and width."""
    return tf.reduce_min(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _rows(values, size):
    """values (N, h, w, A * size) -> (N, h * w * A, size) float32."""
    height, width, channels = values.shape[1:]
    return tf.reshape(tf.cast(values, tf.float32), [-1, height * width * channels // size, size])
