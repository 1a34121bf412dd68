"""Parts of the detector beside torchvision 0.28, from `python tests/golden/detection/make_torchvision.py`.

torchvision's boxes are (x1, y1, x2, y2), and its features have the channels first; `torchvision_rig` converts. Its box
loss is smooth L1 with beta = 1/9, ours is L1, as in Detectron2: for differences above beta, ours is greater by beta / 2
for each of the four deltas of a positive box. All given differences are above it.
"""

import numpy as np
import pytest
import tensorflow as tf
from torchvision_rig import HEIGHT, WIDTH, arrays, channels_last, yxyx

from keras_resnet.config.detector_options import DetectorOptions as Options
from keras_resnet.detection.detections import candidates_of, suppressed
from keras_resnet.detection.heads import feature_pyramid
from keras_resnet.detection.losses import proposal_losses, roi_losses, sampled_rois
from keras_resnet.detection.proposals import Proposed, proposals_of

OBJECTS = yxyx(np.float32([[10, 12, 44, 40], [60, 30, 120, 90], [70, 2, 98, 10]]))
CLASSES = np.array([2, 0, 3])  # torchvision's labels 3, 1 and 4, whose 0 is the background
SEED = tf.constant([[0, 7]])
SHARES = [24 * 32 * 3, 12 * 16 * 3, 6 * 8 * 3]  # anchors of each level


def objects(blank=False):
    return {
        "boxes": tf.constant(OBJECTS[None]),
        "classes": tf.constant(CLASSES[None], tf.int32),
        "ignored": tf.zeros((1, 3), tf.bool),
        "valid": tf.fill((1, 3), not blank),
    }


def smoothed(loss, positives, sampled):
    """Returns torchvision's loss for ours."""
    return float(loss[0]) - 4 * positives * (1 / 9) / 2 / sampled


@pytest.mark.parametrize("name", ["", "_blank"])
def test_losses_of_proposals_equal_torchvision(name):
    """All anchors that are not ignored are sampled; relative errors up to 1e-5."""
    golden = arrays("rpn")
    labels, deltas = golden[f"labels{name}"], np.zeros_like(golden["deltas"])
    if not name:
        deltas[labels == 1] = golden["given"]
    anchors, count = yxyx(golden["anchors"]), len(labels)
    proposed = Proposed(anchors, tf.constant(golden["scores"][None]), tf.constant(yxyx(deltas)[None]), None, None)
    options = Options(anchor_samples=count)
    losses = proposal_losses(options, proposed, objects(blank=bool(name)), (HEIGHT, WIDTH), SEED)
    assert float(losses["rpn_score_loss"][0]) == pytest.approx(float(golden[f"score_loss{name}"]), rel=1e-5)
    expected = float(golden[f"box_loss{name}"])
    positives, sampled = np.sum(labels == 1), np.sum(labels >= 0)
    assert smoothed(losses["rpn_box_loss"], positives, sampled) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert (expected > 0) == (not name)


def test_sampled_rois_equal_torchvision():
    """Classes exactly and targets to 1e-4, box by box: torchvision's sample has another order."""
    golden = arrays("roi")
    candidates = tf.constant(yxyx(golden["candidates"])[None])
    proposed = Proposed(None, None, None, candidates, tf.constant([candidates.shape[1]]))
    count = len(golden["boxes"])
    found = sampled_rois(Options(roi_samples=count, roi_positive_fraction=0.5), proposed, objects(), SEED)
    assert int(tf.reduce_sum(found["valid"])) == count
    places = {tuple(box): i for i, box in enumerate(found["boxes"].numpy()[0])}
    rows = [places[tuple(box)] for box in yxyx(golden["boxes"])]
    np.testing.assert_array_equal(found["classes"].numpy()[0, rows], golden["labels"])
    assert set(golden["labels"]) == {0, 1, 3, 4}
    positive = golden["labels"] > 0
    targets = found["targets"].numpy()[0, rows]
    np.testing.assert_allclose(targets[positive], yxyx(golden["targets"])[positive], atol=1e-4)


@pytest.mark.parametrize("name", ["", "_blank"])
def test_losses_of_rois_equal_torchvision(name):
    """To a relative error of 1e-5. torchvision has deltas of the background too, which no loss reads."""
    golden = arrays("roi")
    labels = golden["labels"] if not name else np.zeros_like(golden["labels"])
    rois = {
        "classes": tf.constant(labels[None]),
        "targets": tf.constant(yxyx(golden["targets"])[None]),
        "positive": tf.constant((labels > 0).astype(np.float32)[None]),
        "valid": tf.ones((1, len(labels))),
    }
    losses = roi_losses(golden["logits"][None], tf.constant(yxyx(golden["given"])[None, :, 1:]), rois)
    assert float(losses["class_loss"][0]) == pytest.approx(float(golden[f"class_loss{name}"]), rel=1e-5)
    expected = float(golden[f"box_loss{name}"])
    assert smoothed(losses["box_loss"], np.sum(labels > 0), len(labels)) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert (expected > 0) == (not name)


def test_proposals_equal_torchvision():
    """60 boxes of 80 per level, in the same order, to 1e-3 pixels."""
    golden, levels = arrays("rpn"), (2, 3, 4)
    ends = np.cumsum(SHARES)[:-1]
    anchors, deltas = (np.split(yxyx(golden[name]), ends) for name in ("anchors", "deltas"))
    scores = np.split(golden["scores"], ends)

    grids = [(1, HEIGHT >> level, WIDTH >> level, -1) for level in levels]
    outputs = [
        (tf.reshape(score, grid), tf.reshape(delta, grid))
        for score, delta, grid in zip(scores, deltas, grids, strict=True)
    ]
    options = Options(proposals_before_nms=(80, 80), proposals=(60, 60))
    proposed = proposals_of(outputs, anchors, options, (HEIGHT, WIDTH))
    assert proposed.counts.numpy() == [60] == [len(golden["boxes"])]
    np.testing.assert_allclose(proposed.boxes[0], yxyx(golden["boxes"]), atol=1e-3)


def test_detections_equal_torchvision():
    """40 boxes, scores and classes in the same order: to 1e-3 pixels and 1e-5."""
    golden = arrays("roi")
    boxes = tf.constant(yxyx(golden["boxes"])[None])
    deltas = tf.constant(yxyx(golden["deltas"])[None, :, 1:])
    scores, real = tf.nn.softmax(golden["logits"][None]), tf.ones(boxes.shape[:2], tf.bool)
    candidates = candidates_of(scores, deltas, boxes, real, Options(), (HEIGHT, WIDTH))
    found = suppressed(candidates, 40, Options().nms_iou, Options().score_threshold)
    assert found.counts.numpy() == [40]
    np.testing.assert_allclose(found.boxes[0], yxyx(golden["found_boxes"]), atol=1e-3)
    np.testing.assert_allclose(found.scores[0], golden["found_scores"], atol=1e-5)
    np.testing.assert_array_equal(found.classes[0] + 1, golden["found_labels"])


def test_feature_pyramid_equals_torchvision():
    """On maps of 11x14, 6x7 and 3x4 cells, and the additional level: to 1e-4."""
    golden = arrays("fpn")
    maps = {level: channels_last(golden[f"level{level}"]) for level in (2, 3, 4)}
    model = feature_pyramid({level: each.shape[1:] for level, each in maps.items()}, 6, extra_level=True)
    for ours, theirs in (("lateral", "inner_blocks"), ("output", "layer_blocks")):
        for level in maps:
            kernel, bias = (golden[f"weights.{theirs}.{level - 2}.0.{kind}"] for kind in ("weight", "bias"))
            model.get_layer(f"fpn_{ours}{level}").set_weights([kernel.transpose(2, 3, 1, 0), bias])
    found = model({f"level{level}": each for level, each in maps.items()})
    assert sorted(found) == [2, 3, 4, 5]
    for level, name in zip((2, 3, 4, 5), ("level2", "level3", "level4", "pool"), strict=True):
        np.testing.assert_allclose(found[level], channels_last(golden[f"output.{name}"]), atol=1e-4)
