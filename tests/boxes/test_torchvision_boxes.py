"""Boxes beside torchvision 0.28, whose arrays `python tests/golden/detection/make_torchvision.py` computes.

torchvision's boxes are (x1, y1, x2, y2), and its features have the channels first; `torchvision_rig` converts.
"""

import numpy as np
import pytest
import tensorflow as tf
from torchvision_rig import HEIGHT, WIDTH, arrays, channels_last, yxyx

from keras_resnet.boxes.anchors import level_anchors
from keras_resnet.boxes.coding import decode, encode
from keras_resnet.boxes.iou import pairwise_iou
from keras_resnet.boxes.matching import match
from keras_resnet.boxes.nms import class_nms, nms
from keras_resnet.boxes.roi_align import assign_levels, roi_align

WEIGHTS = {"": (1.0, 1.0, 1.0, 1.0), "_weighted": (10.0, 10.0, 5.0, 5.0)}
OBJECTS = yxyx(np.float32([[10, 12, 44, 40], [60, 30, 120, 90], [70, 2, 98, 10]]))


def test_anchors_equal_torchvision():
    """Exactly: the convention "torchvision" rounds corners and centers anchors on the corners of cells, as it does."""
    strides = {4: 16, 8: 32, 16: 64}
    ours = [
        level_anchors((HEIGHT // stride, WIDTH // stride), stride, [size], [0.5, 1, 2], "torchvision")
        for stride, size in strides.items()
    ]
    np.testing.assert_array_equal(np.concatenate(ours), yxyx(arrays("rpn")["anchors"]))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_coding_equals_torchvision(weights):
    """To a relative error of 1e-5 and 1e-3 pixels; some of the decoded sides are at the limit."""
    golden = arrays("coder")
    boxes, anchors, deltas = (yxyx(golden[name]) for name in ("boxes", "anchors", "deltas"))
    np.testing.assert_allclose(encode(boxes, anchors, WEIGHTS[weights]), yxyx(golden[f"encoded{weights}"]), atol=1e-5)
    decoded = yxyx(golden[f"decoded{weights}"])
    np.testing.assert_allclose(decode(deltas, anchors, WEIGHTS[weights]), decoded, rtol=1e-5, atol=1e-3)


def test_iou_equals_torchvision():
    golden = arrays("nms")
    boxes = yxyx(golden["boxes"])
    np.testing.assert_allclose(pairwise_iou(boxes, boxes[:9]), golden["iou"], atol=1e-6)


@pytest.mark.parametrize("name", ["", "_blank"])
def test_labels_of_anchors_equal_torchvision(name):
    """Exactly, and the deltas of positive anchors to 1e-5: torchvision counts -1 for ignored anchors as we do."""
    golden = arrays("rpn")
    anchors, objects = yxyx(golden["anchors"]), OBJECTS if not name else np.zeros((0, 4), np.float32)
    rpn = {"positive_iou": 0.7, "negative_iou": (0.0, 0.3), "allow_low_quality_matches": True}
    matches = match(anchors, objects, **rpn)
    np.testing.assert_array_equal(matches.labels, golden[f"labels{name}"])
    if not name:
        positive = golden["labels"] == 1
        assert {-1, 0, 1} == set(golden["labels"])
        targets = encode(tf.gather(objects, matches.objects)[positive], anchors[positive])
        np.testing.assert_allclose(targets, yxyx(golden["targets"]), atol=1e-5)


@pytest.mark.parametrize("threshold", [3, 5, 7])
def test_nms_equals_torchvision(threshold):
    """The same boxes in the same order; no two scores are equal."""
    golden = arrays("nms")
    boxes, scores, classes = yxyx(golden["boxes"])[None], golden["scores"][None], golden["classes"][None]
    for kept, name in (
        (nms(boxes, scores, 120, threshold / 10), "kept"),
        (class_nms(boxes, scores, classes, 120, threshold / 10), "kept_by_class"),
    ):
        np.testing.assert_array_equal(kept.indices[0, : int(kept.counts[0])], golden[f"{name}{threshold}"])


@pytest.mark.parametrize("implementation", ["gather", "crop"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size", [2, 7])
def test_roi_align_equals_torchvision(size, aligned, implementation):
    """Values to 2e-5, and gradients of the features to 1e-4, with two points per side of a bin."""
    golden = arrays("roi_align")
    name, boxes = f"{size}_{'aligned' if aligned else 'unaligned'}", yxyx(golden["boxes"])
    weights = channels_last(golden[f"weights{size}"]).reshape(*boxes.shape[:2], size, size, -1)
    features = tf.constant(channels_last(golden["features"]))
    with tf.GradientTape() as tape:
        tape.watch(features)
        arguments = {"output_size": size, "aligned": aligned, "implementation": implementation}
        values = roi_align([features], [8], boxes, **arguments)
        loss = tf.reduce_sum(values * weights)
    np.testing.assert_allclose(values, channels_last(golden[f"values{name}"]).reshape(values.shape), atol=2e-5)
    np.testing.assert_allclose(tape.gradient(loss, features), channels_last(golden[f"gradient{name}"]), atol=1e-4)


def test_levels_and_values_of_several_maps_equal_torchvision():
    """Levels exactly, also of squares at the limits; values to 2e-5. torchvision's detectors are not aligned."""
    golden = arrays("pooler")
    np.testing.assert_array_equal(assign_levels(yxyx(golden["boxes"]), 2, 5), golden["levels"])
    inside = yxyx(golden["inside"])[None]
    levels = assign_levels(inside, 2, 4, canonical_size=56)
    np.testing.assert_array_equal(levels[0], golden["inside_levels"])
    assert {0, 1, 2} == set(golden["inside_levels"])
    maps = [channels_last(golden[f"map{i}"]) for i in range(3)]
    values = roi_align(maps, [4, 8, 16], inside, levels, output_size=3, aligned=False)
    np.testing.assert_allclose(values[0], channels_last(golden["values"]), atol=2e-5)
