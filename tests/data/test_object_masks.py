"""Masks are cut out of run lengths inside a graph."""

import numpy as np
import tensorflow as tf

from keras_resnet.data.object_masks import SIDE, crop_masks
from keras_resnet.data.run_lengths import encode


def test_crop_has_the_pixels_of_its_box():
    """An object of random pixels in an image of 40 x 60; each pixel of the box becomes a rectangle of the crop."""
    random = np.random.RandomState(0)
    mask = np.zeros((40, 60), bool)
    mask[5:19, 20:48] = random.rand(14, 28) < 0.5
    boxes = tf.constant([[5.0, 20, 19, 48], [5, 20, 12, 34], [0, 0, 40, 60]])
    contents = tf.constant([encode(mask), encode(mask), b""])
    found = tf.function(crop_masks, autograph=False)(contents, boxes, tf.constant([40, 60])).numpy()
    np.testing.assert_array_equal(found[0], np.kron(mask[5:19, 20:48], np.ones((SIDE // 14, SIDE // 28))))
    np.testing.assert_array_equal(found[1], np.kron(mask[5:12, 20:34], np.ones((SIDE // 7, SIDE // 14))))
    assert not found[2].any()


def test_crop_of_long_runs():
    """Runs of more than 2^15 pixels, and negative differences of runs."""
    mask = np.ones((500, 600), bool)
    mask[100:130, 400:430] = False
    mask[0, 0] = False
    boxes = tf.constant([[0.0, 0, 500, 600]])
    found = crop_masks(tf.constant([encode(mask)]), boxes, tf.constant([500, 600])).numpy()[0]
    y, x = (((np.arange(SIDE) + 0.5) * size / SIDE).astype(int) for size in mask.shape)
    np.testing.assert_array_equal(found, mask[y][:, x])


def test_no_objects():
    assert crop_masks(tf.constant([], tf.string), tf.zeros((0, 4)), tf.constant([4, 4])).shape == (0, SIDE, SIDE)
