"""Provides the losses of Faster R-CNN for each image, over anchors and proposals that a seed samples.

Every loss of an image is divided by the number of its sampled boxes, positive or not, as in Detectron2 and torchvision;
dividing by the positives would give an image with one object the weight of one with many. An image without objects has
negatives only, and box losses of 0. Nothing is divided by a number of the batch, so that the sum over a batch does not
depend on how it is distributed.
"""

import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.boxes.matching import match
from keras_resnet.boxes.sampling import sample
from keras_resnet.detection.detector import BOX_WEIGHTS, Detector


def detection_losses(detector: Detector, images, objects: dict, seeds) -> dict[str, tf.Tensor]:
    """Returns {"rpn_score_loss", "rpn_box_loss", "class_loss", "box_loss": (N,) float32}.

    Args:
        detector: the detector.
        images: (N, H, W, 3) in [0, 255].
        objects: "boxes" (N, R, 4) in pixels, "classes" (N, R), "ignored" (N, R) and "valid" (N, R): false in padding.
        seeds: (N, 2), from which the anchors and proposals of each image are drawn.
    """
    features = detector.pyramid(images, training=True)
    proposed = detector.propose(features, training=True)
    losses = proposal_losses(detector.options, proposed, objects, detector.image_size, seeds)
    rois = sampled_rois(detector.options, proposed, objects, seeds)
    logits, deltas = detector.classify(features, rois["boxes"], training=True)
    return losses | roi_losses(logits, deltas, rois)


def proposal_losses(options, proposed, objects, image_size, seeds) -> dict[str, tf.Tensor]:
    """Outputs for all anchors, objects -> {"rpn_score_loss", "rpn_box_loss": (N,)} of sampled anchors."""
    anchors = tf.constant(proposed.anchors)[None] + tf.zeros_like(proposed.deltas)
    inside = coding.inside_image(anchors, image_size) if options.ignore_crossing_anchors else None
    matches = match(
        anchors,
        objects["boxes"],
        objects["valid"],
        objects["ignored"],
        inside,
        positive_iou=options.anchor_positive_iou,
        negative_iou=(0.0, options.anchor_negative_iou),
        allow_low_quality_matches=True,
    )
    drawn = sample(matches.labels, seeds, options.anchor_samples, options.anchor_positive_fraction)
    scores, deltas, anchors, found = (
        tf.gather(each, drawn.indices, batch_dims=1)
        for each in (proposed.scores, proposed.deltas, anchors, matches.objects)
    )
    targets = coding.encode(tf.gather(objects["boxes"], found, batch_dims=1), anchors)
    positive, valid = (tf.cast(each, tf.float32) for each in (drawn.positive, drawn.valid))
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(positive, scores)
    return {
        "rpn_score_loss": _mean(entropy, valid, valid),
        "rpn_box_loss": _mean(absolute_difference(deltas, targets), positive, valid),
    }


def sampled_rois(options, proposed, objects, seeds) -> dict[str, tf.Tensor]:
    """Returns the sampled proposals and objects: "boxes" (N, S, 4), "classes", "targets", "positive" and "valid".

    "classes" (N, S) are 1 + the class of the object, 0 for the background; "targets" (N, S, 4) are its deltas. True
    boxes are among the candidates, so that there are positives when proposals are still bad (Ren et al.'s code).
    """
    true = objects["valid"] & ~objects["ignored"]
    boxes = tf.concat([proposed.boxes, objects["boxes"]], axis=1)
    real = tf.range(proposed.boxes.shape[1])[None] < proposed.counts[:, None]
    matches = match(
        boxes,
        objects["boxes"],
        objects["valid"],
        objects["ignored"],
        tf.concat([real, true], axis=1),
        positive_iou=options.roi_positive_iou,
        negative_iou=tuple(options.roi_negative_iou),
    )
    # Another seed than that of the anchors, so that the two samples are independent.
    drawn = sample(
        matches.labels, seeds + tf.constant([[1 << 20, 0]]), options.roi_samples, options.roi_positive_fraction
    )
    boxes, found = (tf.gather(each, drawn.indices, batch_dims=1) for each in (boxes, matches.objects))
    classes = tf.cast(tf.gather(objects["classes"], found, batch_dims=1), tf.int32)
    return {
        "boxes": boxes,
        "classes": tf.where(drawn.positive, classes + 1, 0),
        "targets": coding.encode(tf.gather(objects["boxes"], found, batch_dims=1), boxes, BOX_WEIGHTS),
        "positive": tf.cast(drawn.positive, tf.float32),
        "valid": tf.cast(drawn.valid, tf.float32),
    }


def roi_losses(logits, deltas, rois) -> dict[str, tf.Tensor]:
    """logits (N, S, 1 + K), deltas (N, S, K, 4), sampled RoIs -> {"class_loss", "box_loss": (N,)}."""
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(rois["classes"], logits)
    own = tf.gather(deltas, tf.maximum(rois["classes"] - 1, 0), batch_dims=2)
    return {
        "class_loss": _mean(entropy, rois["valid"], rois["valid"]),
        "box_loss": _mean(absolute_difference(own, rois["targets"]), rois["positive"], rois["valid"]),
    }


def absolute_difference(deltas, targets):
    """deltas, targets (N, S, 4) -> (N, S): the L1 distance."""
    return tf.reduce_sum(tf.abs(deltas - targets), axis=-1)


def _mean(values, counted, sampled):
    """values (N, S) -> (N,): the sum of the values that count over the number of sampled boxes."""
    # A masked value may be infinite, such as the target of padding; infinity times 0 would be NaN.
    values = tf.where(counted > 0, values, 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(values, axis=1), tf.reduce_sum(sampled, axis=1))
