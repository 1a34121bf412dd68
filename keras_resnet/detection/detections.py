"""Turns the outputs of the box head into detections: scores and boxes of each class, and their suppression."""

from typing import NamedTuple

import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.boxes.nms import class_nms, take
from keras_resnet.detection.proposals import shorter_side

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of a box head's deltas (Girshick 2015)


class Detections(NamedTuple):
    """What a detector finds in each image: the best first, then zeros."""

    boxes: tf.Tensor  # (N, D, 4) float32 pixels
    scores: tf.Tensor  # (N, D) float32
    classes: tf.Tensor  # (N, D) int32
    counts: tf.Tensor  # (N,) int32
    masks: tf.Tensor | None = None  # (N, D, m, m) float32 in [0, 1], each in its box; if the detector has them

    def named(self) -> dict[str, tf.Tensor]:
        """Returns {name: tensor}."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Candidates(NamedTuple):
    """A box and a score of each class for each RoI; the score of padding is 0."""

    boxes: tf.Tensor  # (N, R, K, 4) float32, inside the image
    scores: tf.Tensor  # (N, R, K) float32


def candidates_of(scores, deltas, rois, real, options, image_size) -> Candidates:
    """Softmax scores (N, R, 1 + K + ...), deltas (N, R, K, 4) and boxes of RoIs (N, R, 4) -> a box for each class.

    Args:
        scores: of the background, the K classes, and what is never answered.
        deltas: of the box head.
        rois: the boxes that scores and deltas are of.
        real: (N, R) bool, false for padding.
        options: the `DetectorOptions`.
        image_size: height and width of the images.
    """
    boxes = coding.clip(coding.decode(deltas, rois[:, :, None], BOX_WEIGHTS), image_size)
    scores = scores[..., 1 : 1 + boxes.shape[2]] * tf.cast(real, tf.float32)[..., None]
    if options.min_detection_size:
        scores *= tf.cast(shorter_side(boxes) >= options.min_detection_size, tf.float32)
    return Candidates(boxes, scores)


def suppressed(candidates: Candidates, count: int, iou: float, score_threshold: float) -> Detections:
    """Returns the `count` best boxes of each image, without those that a better one of their class overlaps."""
    boxes, scores = candidates
    classes = tf.zeros_like(scores, tf.int32) + tf.range(scores.shape[-1])
    boxes, scores, classes = (_flat(each, rank) for each, rank in ((boxes, 1), (scores, 0), (classes, 0)))
    kept = class_nms(boxes, scores, classes, count, iou, score_threshold)
    return Detections(take(kept, boxes), take(kept, scores), take(kept, classes), kept.counts)


def _flat(values, rank):
    """values (N, R, K, ...) -> (N, R * K, ...), where `rank` axes follow."""
    ends = list(values.shape[3 : 3 + rank])
    return tf.reshape(values, [-1, values.shape[1] * values.shape[2], *ends])
