import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.iou import area, pairwise_ioa, pairwise_iou


def test_iou_of_half_a_box():
    """16 of 32 square pixels. With sides of y2 - y1 + 1 it would be 25 / 45 (maskrcnn-benchmark issue 256)."""
    assert pairwise_iou([[0, 0, 4, 4]], [[0, 0, 4, 8]]).numpy() == [[0.5]]


def test_pairwise_iou_by_hand():
    boxes = [[0, 0, 10, 10], [0, 0, 20, 10]]
    others = [[0, 0, 10, 10], [5, 0, 15, 10], [10, 10, 20, 20]]
    np.testing.assert_allclose(pairwise_iou(boxes, others), [[1, 1 / 3, 0], [1 / 2, 1 / 2, 0]], rtol=1e-6)


DEGENERATE = [[10, 10, 10, 20], [10, 10, 20, 10], [5, 5, 5, 5], [20, 20, 10, 10], [20, 10, 10, 20]]


@pytest.mark.parametrize("overlap", [pairwise_iou, pairwise_ioa])
def test_overlap_of_degenerate_boxes_is_zero(overlap):
    boxes = [*DEGENERATE, [0, 0, 30, 30]]
    expected = np.zeros((6, 6))
    expected[5, 5] = 1
    np.testing.assert_array_equal(overlap(boxes, boxes), expected)


def test_area_by_hand():
    np.testing.assert_array_equal(area([*DEGENERATE, [1, 2, 11, 5]]), [0, 0, 0, 0, 0, 30])


def test_anchor_inside_a_crowd():
    """The IoU of a 16x16 anchor in a 200x200 crowd is .0064; all of its area is inside (tensorpack issue 984)."""
    anchor, crowd = [[50, 50, 66, 66]], [[0, 0, 200, 200]]
    np.testing.assert_allclose(pairwise_iou(anchor, crowd), [[0.0064]], rtol=1e-6)
    assert pairwise_ioa(anchor, crowd).numpy() == [[1.0]]
    np.testing.assert_allclose(pairwise_ioa([[-8, 0, 8, 16]], crowd), [[0.5]])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_iou_of_16_bit_boxes_is_float32(dtype):
    """An area of 1024 x 1024 is infinite in float16."""
    boxes = tf.constant([[0, 0, 1024, 1024], [0, 0, 512, 1024]], dtype)
    overlaps = pairwise_iou(boxes, boxes)
    assert overlaps.dtype == tf.float32
    np.testing.assert_array_equal(overlaps, [[1, 0.5], [0.5, 1]])


def test_anchors_of_a_batch_are_shared():
    """Boxes (R, 4) and one set of objects per image."""
    boxes, objects = [[0, 0, 10, 10], [0, 0, 20, 10]], [[[0, 0, 10, 10]], [[0, 0, 20, 10]]]
    np.testing.assert_array_equal(pairwise_iou(boxes, objects), [[[1], [0.5]], [[0.5], [1]]])


@pytest.mark.slow
def test_pairwise_iou_equals_tf_models_official():
    similarity = pytest.importorskip("official.vision.ops.iou_similarity")
    corners = np.random.RandomState(0).uniform(0, 60, (2, 20, 2))
    boxes = np.concatenate([corners, corners + 30], axis=-1).astype(np.float32)
    official = similarity.IouSimilarity()(boxes, boxes[:, :7])
    np.testing.assert_allclose(pairwise_iou(boxes, boxes[:, :7]), official, atol=1e-6)
