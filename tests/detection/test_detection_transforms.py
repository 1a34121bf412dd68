"""Letterbox, scale jitter and flips move boxes with the pixels."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.data.transforms import letterbox
from keras_resnet.detection.transforms import augmented, padded

MEAN = (10.0, 20.0, 30.0)


def test_letterbox_fills_with_the_mean_color_and_keeps_the_aspect_ratio():
    image = tf.fill((20, 40, 3), tf.constant(200, tf.uint8))
    pixels, ratio, start = letterbox(image, 16, MEAN)
    assert float(ratio) == pytest.approx(0.4)
    assert start.numpy().tolist() == [0, 0]
    np.testing.assert_allclose(pixels[:8], 200, rtol=1e-5)
    assert (pixels[8:].numpy() == MEAN).all()


def test_photograph_of_voc_has_a_shorter_side_of_600():
    """He et al. 2015, appendix B; the most frequent size of VOC's photographs, 500x375, in the recipes' 800 pixels."""
    pixels, ratio, _ = letterbox(tf.fill((375, 500, 3), tf.constant(200, tf.uint8)), 800, MEAN)
    assert float(ratio) == pytest.approx(1.6)
    np.testing.assert_allclose(pixels[:600], 200, rtol=1e-5)
    assert (pixels[600:].numpy() == MEAN).all()


@pytest.mark.parametrize("shape", [(1, 1), (4000, 30), (3, 500)])
def test_letterbox_of_odd_shapes(shape):
    pixels, *_ = letterbox(tf.zeros((*shape, 3), tf.uint8), 32, MEAN)
    assert pixels.shape == (32, 32, 3)
    assert np.isfinite(pixels.numpy()).all()


def painted(box, side=64):
    """Returns an image that is white in a box, and the object."""
    image = np.zeros((side, side, 3), np.uint8)
    y1, x1, y2, x2 = box
    image[y1:y2, x1:x2] = 255
    objects = {
        "boxes": tf.constant([box], tf.float32),
        "classes": tf.constant([4]),
        "ignored": tf.constant([False]),
        "areas": tf.constant([float((y2 - y1) * (x2 - x1))]),
    }
    return tf.constant(image), objects


def extent(pixels):
    rows, columns = (np.flatnonzero((pixels[..., 0].numpy() > 127).any(axis)) for axis in (1, 0))
    return [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


@pytest.mark.parametrize("scale_range", [(1.0, 1.0), (0.5, 0.5), (2.0, 2.0), (0.6, 1.7)])
def test_boxes_stay_on_the_pixels(scale_range):
    """Flipped or not, enlarged and cut or reduced and padded: the box is around the white pixels, to one pixel."""
    flipped = 0
    for seed in range(8):
        image, objects = painted((20, 10, 44, 30))
        pixels, moved = augmented(image, objects, 64, (0.0,) * 3, scale_range, True, tf.constant([0, seed], tf.int64))
        if len(moved["boxes"]) == 0:
            continue
        box = moved["boxes"].numpy()[0]
        np.testing.assert_allclose(extent(pixels), box, atol=1)
        flipped += box[1] + box[3] > 64
    assert 0 < flipped < 8


def test_object_outside_of_the_crop_is_left_out():
    found = set()
    for seed in range(12):
        image, objects = painted((0, 0, 8, 8))
        _, moved = augmented(image, objects, 64, (0.0,) * 3, (2.0, 2.0), False, tf.constant([0, seed], tf.int64))
        found.add(len(moved["classes"]))
        assert len({len(value) for value in moved.values()}) == 1
    assert found == {0, 1}


def test_padded_marks_padding_and_keeps_the_first_objects():
    _, objects = painted((0, 0, 8, 8))
    two = {name: tf.concat([value, value], 0) for name, value in objects.items()}
    assert padded(two, 3)["valid"].numpy().tolist() == [True, True, False]
    assert padded(two, 1)["boxes"].shape == (1, 4)
    assert padded(two, 1)["valid"].numpy().tolist() == [True]
