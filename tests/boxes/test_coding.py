import math

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.coding import clip, decode, encode, inside_image

WEIGHTS = [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]


def random_boxes(shape, seed, size=1333.0):
    random = np.random.RandomState(seed)
    corners = random.uniform(0, size, (*shape, 2))
    return np.concatenate([corners, corners + random.uniform(1, 300, (*shape, 2))], axis=-1).astype(np.float32)


def test_encode_by_hand():
    """The center moves from (5, 5) to (10, 15), the width from 10 to 20."""
    deltas = encode([[5, 5, 15, 25]], [[0, 0, 10, 10]])
    np.testing.assert_allclose(deltas, [[0.5, 1, 0, math.log(2)]], rtol=1e-6)
    weighted = encode([[5, 5, 15, 25]], [[0, 0, 10, 10]], (10.0, 10.0, 5.0, 5.0))
    np.testing.assert_allclose(weighted, [[5, 10, 0, 5 * math.log(2)]], rtol=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_decode_is_the_inverse_of_encode(weights):
    boxes, anchors = random_boxes((200,), 0), random_boxes((200,), 1)
    side = np.minimum(boxes[:, 2:] - boxes[:, :2], 60 * (anchors[:, 2:] - anchors[:, :2]))
    boxes[:, 2:] = boxes[:, :2] + side
    np.testing.assert_allclose(decode(encode(boxes, anchors, weights), anchors, weights), boxes, atol=2e-3)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_decode_limits_the_sides(weights):
    """Sides are at most 1000 / 16 times those of the anchor."""
    box = decode([[0, 0, 1000, 1000]], [[0, 0, 16, 32]], weights)
    np.testing.assert_allclose(box, [[8 - 500, 16 - 1000, 8 + 500, 16 + 1000]], rtol=1e-5)


def test_decode_takes_deltas_of_every_class():
    anchors, deltas = random_boxes((2, 3), 0), np.random.RandomState(1).normal(size=(2, 3, 5, 4))
    boxes = decode(deltas, anchors[:, :, None])
    assert boxes.shape == (2, 3, 5, 4)
    np.testing.assert_allclose(boxes[1, 2, 4], decode(deltas[1, 2, 4], anchors[1, 2]), rtol=1e-6)


@pytest.mark.parametrize("box", [[10, 10, 10, 20], [0, 0, 0, 0], [20, 20, 10, 10]])
def test_encode_of_degenerate_boxes_is_finite(box):
    """A loss multiplies the targets of padding with 0."""
    assert np.isfinite(encode([box], [[0, 0, 16, 16]])).all()
    assert np.isfinite(encode([[0, 0, 16, 16]], [box])).all()


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_coordinates_stay_exact_beside_16_bit_inputs(dtype):
    """1001 is 1000 in bfloat16: boxes keep their type beside 16-bit deltas and anchors (keras-cv issue 1258)."""
    box = tf.constant([[1.0, 1.0, 1001.0, 1001.0]])
    zeros = tf.zeros((1, 4), dtype)
    assert decode(zeros, box).dtype == tf.float32
    np.testing.assert_array_equal(decode(zeros, box), box)
    anchor = tf.constant([[0.0, 0.0, 1024.0, 1024.0]], dtype)
    np.testing.assert_allclose(decode(encode(box, anchor), anchor), box, rtol=1e-6)


def test_clip_by_hand():
    np.testing.assert_array_equal(clip([[-5, 10, 120, 90], [-9, -9, -1, -1]], (100, 80)), [[0, 10, 100, 80], [0] * 4])


def test_clip_of_what_is_no_number():
    """A run that diverges has such boxes; kernels that read cells by them would end it with an error."""
    nan, inf = float("nan"), float("inf")
    np.testing.assert_array_equal(
        clip([[nan, -inf, inf, nan], [5, nan, inf, inf]], (100, 80)), [[0, 0, 100, 0], [5, 0, 100, 80]]
    )


def test_clip_takes_a_size_per_image():
    boxes = tf.constant([[[0, 0, 100, 100]]] * 2, tf.bfloat16)
    sizes = tf.constant([[50, 60], [70, 80]])
    clipped = clip(boxes, sizes[:, None])
    assert clipped.dtype == tf.float32
    np.testing.assert_array_equal(clipped, [[[0, 0, 50, 60]], [[0, 0, 70, 80]]])


def test_inside_image_by_hand():
    boxes = [[0, 0, 50, 60], [-1, 0, 50, 60], [0, 0, 51, 60], [0, 0, 50, 61], [0, -3, 50, 60]]
    assert inside_image(boxes, (50, 60)).numpy().tolist() == [True, False, False, False, False]
    assert inside_image(boxes, (50, 60), margin=2).numpy().tolist() == [True, True, True, True, False]
    sizes = tf.constant([[50, 60], [51, 61]])
    assert inside_image([boxes] * 2, sizes[:, None]).numpy()[1].tolist() == [True, False, True, True, False]


@pytest.mark.slow
@pytest.mark.parametrize("weights", WEIGHTS)
def test_coding_equals_tf_models_official(weights):
    box_ops = pytest.importorskip("official.vision.ops.box_ops")
    boxes, anchors = random_boxes((2, 50), 0), random_boxes((2, 50), 1)
    deltas = encode(boxes, anchors, weights)
    np.testing.assert_allclose(deltas, box_ops.encode_boxes(boxes, tf.constant(anchors), list(weights)), atol=1e-4)
    predicted = np.random.RandomState(2).normal(0, 4, (2, 50, 4)).astype(np.float32)
    official = box_ops.decode_boxes(predicted, tf.constant(anchors), list(weights))
    np.testing.assert_allclose(decode(predicted, anchors, weights), official, rtol=1e-5, atol=1e-2)
    np.testing.assert_array_equal(clip(official, (600, 800)), box_ops.clip_boxes(official, (600, 800)))
