"""Boxes follow their object through every crop; the pixels are those of classification."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config.localization import LocalizationData
from keras_resnet.data import transforms
from keras_resnet.data.augmentation import augment
from keras_resnet.localization.transforms import Geometry, augmented, center_geometry, class_of, padded

BOX = (20, 30, 50, 44)  # y1 x1 y2 x2, in an image of 80 x 96


def picture():
    """A white box on black."""
    pixels = np.zeros((80, 96, 3), np.uint8)
    pixels[BOX[0] : BOX[2], BOX[1] : BOX[3]] = 255
    return tf.constant(pixels)


def data(**values):
    return LocalizationData(name="scene_objects", **values)


CROPS = [
    {"crop": "center"},
    {"crop": "scale_jitter", "resize_range": (64, 96)},
    {"crop": "random_resized", "area_range": (0.4, 1.0)},
]


@pytest.mark.parametrize("crop", CROPS, ids=lambda crop: crop["crop"])
def test_box_follows_its_object(crop):
    """The white pixels of the crop fill the box, to a pixel; a flip is among the seeds."""
    settings, flipped = data(horizontal_flip=True, min_box_share=0.0, **crop), set()
    for number in range(12):
        image, boxes, counts = augmented(picture(), tf.constant([BOX], tf.float32), 64, 3, settings, (3, number))
        rows, columns = (np.flatnonzero(image.numpy()[..., 0].max(axis) > 127) for axis in (1, 0))
        assert bool(counts[0]) == (len(rows) > 0)
        if len(rows):
            np.testing.assert_allclose(boxes[0], [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], atol=1.1)
        if crop["crop"] == "center":
            flipped.add(round(float(boxes[0, 1])))
    assert crop["crop"] != "center" or len(flipped) == 2


@pytest.mark.parametrize("crop", CROPS, ids=lambda crop: crop["crop"])
def test_pixels_are_those_of_classification(crop):
    random = np.random.RandomState(0)
    pixels = tf.constant(random.randint(0, 256, (80, 96, 3)), tf.uint8)
    settings = data(horizontal_flip=True, pca_lighting=True, **crop)
    for number in range(4):
        seed = tf.constant([5, number], tf.int64)
        image, _, _ = augmented(pixels, tf.zeros((0, 4)), 64, 3, settings, seed)
        np.testing.assert_allclose(image, augment(pixels, 64, 3, settings, seed), atol=1e-4)


def test_box_of_which_too_little_remains_does_not_count():
    """The center crop of 80 x 96 begins at column 8: it leaves 1/4, 1/2 and 3/4 of these boxes, and nothing."""
    boxes = tf.constant([[0.0, 5, 10, 9], [0, 6, 10, 10], [0, 7, 10, 11], [0, 0, 10, 8]])
    _, clipped, counts = augmented(picture(), boxes, 80, 3, data(), (0, 0))
    assert clipped.numpy().tolist() == [[0, 0, 10, 1], [0, 0, 10, 2], [0, 0, 10, 3], [0, 0, 10, 0]]
    assert counts.numpy().tolist() == [False, True, True, False]
    assert augmented(picture(), boxes, 80, 3, data(min_box_share=0.2), (0, 0))[2].numpy().tolist()[:1] == [True]


@pytest.mark.parametrize(("shape", "crop_pct"), [((80, 96), 0.875), ((53, 31), 1.0), ((31, 53), 0.5)])
def test_geometry_of_the_center_crop_is_that_of_its_pixels(shape, crop_pct):
    """A ramp of rows and columns: interpolation keeps it, so a pixel of the crop tells where it comes from."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    ramp = tf.constant(np.stack([rows, columns, rows], -1), tf.float32)
    image = transforms.for_test(ramp, 24, crop_pct).numpy()
    geometry = center_geometry(tf.constant(shape), 24, crop_pct)
    place = geometry.to_image(tf.constant([[8.5, 5.5, 14.5, 15.5]]))[0]
    expected = [*image[8, 5, :2], *image[14, 15, :2]]
    np.testing.assert_allclose(place, expected, atol=0.05)
    there_and_back = geometry.to_crop(geometry.to_image(tf.constant([[1.0, 2, 3, 4]])))
    np.testing.assert_allclose(there_and_back, [[1, 2, 3, 4]], atol=1e-4)


def test_geometry_of_a_batch():
    geometry = Geometry(tf.constant([[1.0, 2], [0, 0]]), tf.constant([[2.0, 1], [1, 4]]))
    boxes = tf.constant([[[1.0, 1, 3, 3]], [[1, 4, 2, 8]]])
    np.testing.assert_allclose(geometry.to_image(boxes), [[[1, 3, 2, 5]], [[1, 1, 2, 2]]])


def test_image_of_several_classes_or_none_is_refused():
    assert int(class_of({"classes": tf.constant([2, 2])})) == 2
    for classes, count in (([2, 1], 2), ([], 0)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"has {count} classes of objects; expected one"):
            class_of({"classes": tf.constant(classes, tf.int32)})


def test_boxes_that_count_come_first_and_the_rest_is_padding():
    boxes, valid = padded(tf.constant([[1.0] * 4, [2] * 4, [3] * 4]), tf.constant([False, True, True]), 4)
    assert boxes[:, 0].numpy().tolist() == [2, 3, 0, 0]
    assert valid.numpy().tolist() == [True, True, False, False]
    assert padded(tf.ones((3, 4)), tf.ones(3, tf.bool), 2)[1].numpy().tolist() == [True, True]
