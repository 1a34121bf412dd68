"""Provides the losses of a localizer for each image: the class, and the anchors of this class that a seed samples.

Only the outputs of the image's own class are trained on it: He et al. 2015, appendix C, does not say what an image
teaches other classes. As many negatives as positives are sampled, and none in an image without a box. The losses of the
anchors are divided by the number of sampled anchors, and nothing by a number of the batch.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.boxes.matching import IGNORED, NEGATIVE, POSITIVE, match
from keras_resnet.boxes.sampling import Sample, sample
from keras_resnet.localization.localizer import Candidates, Localizer
from keras_resnet.localization.rcnn import BOX_WEIGHTS

_ROI_SEED = (1 << 20, 0)  # so that RoIs are drawn by another seed than anchors


class Losses(NamedTuple):
    """The losses of each image."""

    losses: dict[str, tf.Tensor]  # {name: (N,) float32}
    logits: tf.Tensor  # (N, K), of the classifier


def localization_losses(model: Localizer, images, labels, boxes, valid, seeds) -> Losses:
    """Returns {"class_loss", "rpn_score_loss", "rpn_box_loss": (N,)}, and the logits.

    With a second stage, which trains alone, {"roi_score_loss", "roi_box_loss"}.

    Args:
        model: the localizer.
        images: (N, H, W, C) in [0, 255].
        labels: (N,) int32, the class of each image.
        boxes: (N, R, 4), of the objects of that class, in pixels.
        valid: (N, R) bool, false for padding.
        seeds: (N, 2), from which the anchors of each image are drawn.
    """
    outputs = model.network(images, training=not model.rcnn)
    logits = tf.cast(outputs["logits"], tf.float32)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    found = model.candidates(outputs["features"], labels[:, None], training=not model.rcnn)
    if model.rcnn:
        return Losses(region_losses(model, images, labels, found, boxes, valid, seeds), logits)
    class_loss = model.options.class_loss_weight * entropy
    return Losses({"class_loss": class_loss} | anchor_losses(model.options, found, boxes, valid, seeds), logits)


def anchor_losses(options, found: Candidates, boxes, valid, seeds) -> dict[str, tf.Tensor]:
    """Outputs of one class for all anchors, boxes (N, R, 4) -> {"rpn_score_loss", "rpn_box_loss": (N,)}."""
    anchors = found.anchors[None] + tf.zeros_like(found.deltas[:, 0])
    matches = match(
        anchors,
        boxes,
        valid,
        positive_iou=options.anchor_positive_iou,
        negative_iou=(0.0, options.anchor_negative_iou),
        allow_low_quality_matches=True,
    )
    drawn = balanced(sample(matches.labels, seeds, options.anchor_samples, 0.5))
    scores, deltas, anchors, objects = (
        tf.gather(each, drawn.indices, batch_dims=1)
        for each in (found.scores[:, 0], found.deltas[:, 0], anchors, matches.objects)
    )
    targets = coding.encode(tf.gather(boxes, objects, batch_dims=1), anchors)
    return {
        "rpn_score_loss": mean_entropy(scores, drawn),
        "rpn_box_loss": mean_distance(deltas, targets, drawn),
    }


def region_losses(model, images, labels, found: Candidates, boxes, valid, seeds) -> dict[str, tf.Tensor]:
    """Candidates of each image's class, boxes (N, R, 4) -> {"roi_score_loss", "roi_box_loss": (N,)}."""
    proposals, options = model.proposals(images, found), model.options
    rois = tf.concat([proposals.boxes[:, 0], boxes], axis=1)  # positives when proposals are still bad
    real = tf.range(proposals.boxes.shape[2])[None] < proposals.counts
    matches = match(
        rois,
        boxes,
        valid,
        eligible=tf.concat([real, valid], axis=1),
        positive_iou=options.roi_positive_iou,
        negative_iou=(0.0, options.roi_positive_iou),
    )
    drawn = drawn_rois(matches.labels, seeds + tf.constant([_ROI_SEED]), options)
    rois, objects = (tf.gather(each, drawn.indices, batch_dims=1) for each in (rois, matches.objects))
    scores, deltas = model.rcnn.classify(images, rois[:, None], labels[:, None], training=True)
    targets = coding.encode(tf.gather(boxes, objects, batch_dims=1), rois, BOX_WEIGHTS)
    return {
        "roi_score_loss": mean_entropy(scores[:, 0], drawn),
        "roi_box_loss": mean_distance(deltas[:, 0], targets, drawn),
    }


def drawn_rois(labels, seeds, options) -> Sample:
    """labels (N, A) of `match`, seeds (N, 2) -> `options.roi_samples` RoIs of each image, with replacement.

    A RoI is positive with probability `roi_positive_fraction`; if the image has none of its kind, it is of the other.
    """
    boxes, count = tf.shape(labels)[1], options.roi_samples
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([count, 1 + boxes], seed),
        seeds,
        fn_output_signature=tf.TensorSpec([count, None], tf.float32),
    )
    wanted = tf.where(draws[..., :1] < options.roi_positive_fraction, POSITIVE, NEGATIVE)
    rank = 0.5 * draws[..., 1:] + tf.where(labels[:, None] == wanted, 1.0, 0.5)
    rank = tf.where(labels[:, None] == IGNORED, 0.0, rank)
    indices = tf.ensure_shape(tf.argmax(rank, axis=-1, output_type=tf.int32), (None, count))
    positive = tf.gather(labels, indices, batch_dims=1) == POSITIVE
    return Sample(indices, positive, tf.reduce_max(rank, axis=-1) > 0)


def balanced(drawn: Sample) -> Sample:
    """Returns the sample with no more negatives than positives."""
    positives = tf.reduce_sum(tf.cast(drawn.positive, tf.int32), axis=1, keepdims=True)
    order = tf.range(drawn.valid.shape[1])[None]
    return drawn._replace(valid=drawn.valid & (order < 2 * positives))


def mean_entropy(scores, drawn: Sample):
    """scores (N, S) of sampled boxes -> (N,): the mean cross entropy of "is the object" over the sampled boxes."""
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(drawn.positive, tf.float32), scores)
    return _over_sampled(entropy, drawn.valid, drawn)


def mean_distance(deltas, targets, drawn: Sample):
    """deltas, targets (N, S, 4) -> (N,): L1 distances of the positives, over the number of sampled boxes."""
    return _over_sampled(tf.reduce_sum(tf.abs(deltas - targets), axis=-1), drawn.positive & drawn.valid, drawn)


def _over_sampled(values, counted, drawn):
    # A masked value may be infinite, such as the target of padding; infinity times 0 would be NaN.
    total = tf.reduce_sum(tf.where(counted, values, 0.0), axis=1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(drawn.valid, tf.float32), axis=1))
