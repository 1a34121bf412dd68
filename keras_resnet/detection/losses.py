"""Provides the losses of Faster R-CNN for each image, over anchors and proposals that a seed samples.

Every loss of an image is divided by the number of its sampled boxes, positive or not, as in Detectron2 and torchvision;
dividing by the positives would give an image with one object the weight of one with many. With `rpn_normalizer: paper`,
those of proposals are divided as in Ren et al. 2015. An image without objects has
negatives only, and box and mask losses of 0. The mask loss alone is divided by the positives of the image, since other
boxes have no mask. Nothing is divided by a number of the batch, so that the sum over a batch does not
depend on how it is distributed.
"""

import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.boxes.matching import match
from keras_resnet.boxes.roi_align import roi_align
from keras_resnet.boxes.sampling import sample
from keras_resnet.detection.alternation import Step
from keras_resnet.detection.detections import BOX_WEIGHTS
from keras_resnet.detection.detector import Detector

PAPER_BOX_WEIGHT = 10.0  # lambda of Ren et al. 2015, equation 1


def detection_losses(
    detector: Detector, images, objects: dict, seeds, step: Step | None = None, proposer: Detector | None = None
) -> dict[str, tf.Tensor]:
    """Returns {"rpn_score_loss", "rpn_box_loss", "class_loss", "box_loss": (N,) float32}, and "mask_loss" with masks.

    Args:
        detector: the detector.
        images: (N, H, W, 3) in [0, 255].
        objects: "boxes" (N, R, 4) in pixels, "classes" (N, R), "ignored" (N, R) and "valid" (N, R): false in padding.
            For masks also "masks" (N, R, M, M), 1 inside, each in its box of "mask_boxes" (N, R, 4).
        seeds: (N, 2), from which the anchors and proposals of each image are drawn.
        step: a step of alternating training, which has some of the losses. None: all losses.
        proposer: makes the proposals. None: the detector itself.
    """
    features = detector.feature_maps(images, training=step is None or "trunk" in step.trained)
    maker, maps = (detector, features) if proposer is None else (proposer, proposer.feature_maps(images))
    proposed = maker.propose(maps, training=True)
    losses: dict[str, tf.Tensor] = {}
    if step is None or step.losses == "proposals":
        losses |= proposal_losses(detector.options, proposed, objects, detector.image_size, seeds)
    if step is None or step.losses == "rois":
        losses |= heads_losses(detector, features, proposed, objects, seeds)
    return losses


def heads_losses(detector: Detector, features, proposed, objects: dict, seeds) -> dict[str, tf.Tensor]:
    """Returns {"class_loss", "box_loss": (N,)}, and "mask_loss" with masks, of sampled proposals."""
    rois = sampled_rois(detector.options, proposed, objects, seeds)
    logits, deltas = detector.classify(features, rois["boxes"], training=True)
    losses = roi_losses(logits, deltas, rois)
    if not detector.options.masks:
        return losses
    most = int(detector.options.roi_samples * detector.options.roi_positive_fraction)
    rois = {name: value[:, :most] for name, value in rois.items()}  # the positives are first
    logits = detector.mask_logits(features, rois["boxes"], tf.maximum(rois["classes"] - 1, 0), training=True)
    targets = mask_targets(objects, rois, logits.shape[-1])
    return losses | {"mask_loss": mask_losses(logits, targets, rois["positive"])}


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
    scores, boxes = _sum(entropy, valid), _sum(absolute_difference(deltas, targets), positive)
    if options.rpn_normalizer == "paper":
        positions = proposed.anchors.shape[0] // (len(options.anchor_sizes[0]) * len(options.anchor_ratios))
        scores, boxes = scores / options.anchor_samples, PAPER_BOX_WEIGHT * boxes / positions
    else:
        scores, boxes = (tf.math.divide_no_nan(each, tf.reduce_sum(valid, axis=1)) for each in (scores, boxes))
    return {"rpn_score_loss": scores, "rpn_box_loss": boxes}


def sampled_rois(options, proposed, objects, seeds) -> dict[str, tf.Tensor]:
    """Returns the sampled proposals and true boxes: "boxes" (N, S, 4), "classes", "targets", "positive", "valid".

    "objects" (N, S) are the objects that they overlap most, "classes" (N, S) 1 + the class of that object or 0 for the
    background, "targets" (N, S, 4) its deltas. True boxes are among the candidates, so that there are positives when
    proposals are still bad (Ren et al.'s code).
    """
    true = objects["valid"] & ~objects["ignored"]
    boxes = tf.concat([proposed.boxes, objects["boxes"]], axis=1)
    matches = match(
        boxes,
        objects["boxes"],
        objects["valid"],
        objects["ignored"],
        tf.concat([proposed.real, true], axis=1),
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
        "objects": found,
    }


def roi_losses(logits, deltas, rois) -> dict[str, tf.Tensor]:
    """logits (N, S, 1 + K), deltas (N, S, K, 4), sampled RoIs -> {"class_loss", "box_loss": (N,)}."""
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(rois["classes"], logits)
    own = tf.gather(deltas, tf.maximum(rois["classes"] - 1, 0), batch_dims=2)
    return {
        "class_loss": _mean(entropy, rois["valid"], rois["valid"]),
        "box_loss": _mean(absolute_difference(own, rois["targets"]), rois["positive"], rois["valid"]),
    }


def mask_targets(objects, rois, side):
    """Objects with masks, RoIs (N, S) -> (N, S, side, side) float32: 1 where a cell of the RoI is in its object."""
    own = {name: tf.gather(objects[name], rois["objects"], batch_dims=1) for name in ("masks", "mask_boxes")}
    cells = own["masks"].shape[-1]
    corner, extent = own["mask_boxes"][..., :2], own["mask_boxes"][..., 2:] - own["mask_boxes"][..., :2]
    scale = cells / tf.maximum(extent, 1e-6)
    boxes = (rois["boxes"] - tf.tile(corner, [1, 1, 2])) * tf.tile(scale, [1, 1, 2])
    masks = tf.reshape(tf.cast(own["masks"], tf.float32), [-1, cells, cells, 1])
    # A border of zeros: RoIAlign repeats the outermost cells, and outside of its box no pixel belongs to the object.
    masks = tf.pad(masks, [[0, 0], [1, 1], [1, 1], [0, 0]])
    inside = roi_align([masks], [1], tf.reshape(boxes + 1, [-1, 1, 4]), output_size=side, sampling_ratio=1)
    return tf.cast(tf.reshape(inside, [-1, boxes.shape[1], side, side]) >= 0.5, tf.float32)


def mask_losses(logits, targets, positive):
    """logits and targets (N, S, m, m), positive (N, S) -> (N,): the mean over the cells of all positives."""
    entropy = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=[2, 3])
    return _mean(entropy, positive, positive)


def absolute_difference(deltas, targets):
    """deltas, targets (N, S, 4) -> (N, S): the L1 distance."""
    return tf.reduce_sum(tf.abs(deltas - targets), axis=-1)


def _mean(values, counted, sampled):
    """values (N, S) -> (N,): the sum of the values that count over the number of sampled boxes."""
    return tf.math.divide_no_nan(_sum(values, counted), tf.reduce_sum(sampled, axis=1))


def _sum(values, counted):
    """values (N, S) -> (N,): the sum of the values that count."""
    # A masked value may be infinite, such as the target of padding; infinity times 0 would be NaN.
    return tf.reduce_sum(tf.where(counted > 0, values, 0.0), axis=1)
