"""Labels of anchors and proposals by their overlap with ground truth (Ren et al. 2015, section 3.1.2)."""

from typing import NamedTuple

import tensorflow as tf

from keras_resnet.boxes.iou import pairwise_ioa, pairwise_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Matches(NamedTuple):
    """What `match` returns: a label, an object and their IoU for every box."""

    labels: tf.Tensor  # (..., A) int32: POSITIVE, NEGATIVE or IGNORED
    objects: tf.Tensor  # (..., A) int32: the object with the greatest IoU; 0 where a box overlaps none
    ious: tf.Tensor  # (..., A) float32


def match(
    boxes,
    objects,
    valid=None,
    ignore=None,
    eligible=None,
    *,
    positive_iou=0.5,
    negative_iou=(0.0, 0.5),
    allow_low_quality_matches=False,
    ignore_ioa=0.5,
) -> Matches:
    """boxes (..., A, 4), objects (..., R, 4) -> labels, objects and IoUs (..., A).

    In an image without objects every box is negative, whatever the thresholds are, but for `ignore` and `eligible`. The
    object of a low-quality match is the one that the box overlaps most, as in torchvision; tf-models-official takes the
    one that the box is best for.

    Args:
        boxes: anchors or proposals.
        objects: ground truth; R may be 0.
        valid: (..., R) bool, false for padding. None: no padding.
        ignore: (..., R) bool, true for regions such as crowds: no box is matched to them, and a negative box is ignored
            if at least `ignore_ioa` of its area is in one of them. None: no such regions.
        eligible: (..., A) bool, false for boxes that are ignored and best for no object, such as anchors that cross the
            border of the image (`coding.inside_image`). None: all boxes are eligible.
        positive_iou: a box is positive from this IoU on.
        negative_iou: low and high: a box is negative if low <= IoU < high. Boxes between are ignored.
        allow_low_quality_matches: boxes with the greatest IoU with an object are positive, below `positive_iou` too;
            several if they are equal, none if it is 0.
        ignore_ioa: threshold of `ignore`.

    Raises:
        ValueError: if the thresholds are not 0 <= low <= high <= positive_iou <= 1.
    """
    low, high = negative_iou
    if not 0 <= low <= high <= positive_iou <= 1:
        raise ValueError(
            f"negative_iou is {negative_iou}, positive_iou {positive_iou}; needed is 0 <= low <= high <= positive <= 1"
        )
    objects, counted, regions = _with_padding(tf.cast(objects, tf.float32), valid, ignore)
    ious = tf.where(counted[..., None, :], pairwise_iou(boxes, objects), 0.0)
    if eligible is not None:
        ious = tf.where(eligible[..., :, None], ious, 0.0)
    best = tf.reduce_max(ious, axis=-1)
    labels = tf.where((best >= low) & (best < high), NEGATIVE, IGNORED)
    labels = tf.where(tf.reduce_any(counted, axis=-1, keepdims=True), labels, NEGATIVE)
    labels = tf.where(best >= positive_iou, POSITIVE, labels)
    if allow_low_quality_matches:
        labels = tf.where(_is_best_for_an_object(ious), POSITIVE, labels)
    if ignore is not None:
        inside = tf.where(regions[..., None, :], pairwise_ioa(boxes, objects), 0.0)
        inside = tf.reduce_max(inside, axis=-1) >= ignore_ioa
        labels = tf.where((labels == NEGATIVE) & inside, IGNORED, labels)
    if eligible is not None:
        labels = tf.where(eligible, labels, IGNORED)
    return Matches(labels, tf.argmax(ious, axis=-1, output_type=tf.int32), best)


def _with_padding(objects, valid, ignore):
    """objects (..., R, 4) -> objects (..., R + 1, 4), which of them count (..., R + 1), which are regions (..., R + 1).

    The last object is padding: the greatest of no IoUs is not defined.
    """
    rows = tf.ones_like(objects[..., 0], tf.bool)
    valid = rows if valid is None else rows & valid
    ignore = ~rows if ignore is None else rows & ignore
    ends = [[0, 0]] * (len(objects.shape) - 2) + [[0, 1]]
    valid, ignore = tf.pad(valid, ends), tf.pad(ignore, ends)
    objects = tf.pad(objects, [*ends, [0, 0]])
    return objects, valid & ~ignore, valid & ignore


def _is_best_for_an_object(ious):
    """ious (..., A, R) -> (..., A) bool: whether a box has the greatest IoU with an object, and it is not 0."""
    best = tf.reduce_max(ious, axis=-2, keepdims=True)
    # Equal overlaps may differ in the last bits by rounding, or because XLA computes `ious` twice.
    return tf.reduce_any((ious >= best * (1 - 1e-6)) & (best > 0), axis=-1)
