"""Tests the part and the size at which an image file is decoded."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_resnet.data.decode import decode_crop

PHOTOGRAPH = load_sample_images().images[0][:403, :601]  # roofs with fine tiles
BOX = 101, 207, 226, 301


def stored(kind="JPEG", **options):
    stream = io.BytesIO()
    Image.fromarray(PHOTOGRAPH).save(stream, kind, **options)
    return tf.constant(stream.getvalue())


def cropped(content, box, least):
    """Runs decode_crop in a graph, as tf.data does."""
    crop = tf.function(lambda: decode_crop(content, lambda height, width: tf.constant(box), 3, least), autograph=False)
    return crop().numpy()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}])
@pytest.mark.parametrize(("ratio", "least"), [(1, (114, 227)), (2, (57, 113)), (4, (29, 56)), (8, (1, 28))])
def test_decode_crop_decodes_large_jpeg_part_at_reduced_size(ratio, least, options):
    """A part of 226 x 301 pixels is decoded at 1/2 if 113 are enough, at 1/8 if 28 are; its position is the same."""
    content = stored(quality=95, **options)
    whole = tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE").numpy().astype(float)
    top, left, height, width = (each // ratio for each in BOX)

    def average(down, right):
        """Returns the expected part, shifted by (down, right) decoded pixels."""
        rows, columns = (top + down) * ratio, (left + right) * ratio
        part = whole[rows : rows + height * ratio, columns : columns + width * ratio]
        return part.reshape(height, ratio, width, ratio, 3).mean((1, 3))

    beside = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    for enough in least:
        part = cropped(content, BOX, enough)
        assert part.shape == (height, width, 3)
        differences = {shift: np.abs(part - average(*shift)).mean() for shift in beside}
        assert min(differences, key=differences.get) == (0, 0)
        assert differences[0, 0] < 5


@pytest.mark.slow
def test_decode_crop_reaches_last_pixels_of_odd_sizes():
    for box in ([0, 0, 403, 601], [3, 5, 400, 596], [387, 585, 16, 16]):
        assert cropped(stored(), box, 2).shape == (box[2] // 8, box[3] // 8, 3)


@pytest.mark.slow
def test_decode_crop_reduced_size_is_antialiased():
    """The result is closer to validation's antialiased resizing than sampling one pixel in six and its neighbor."""
    content = stored(quality=95)
    seen = tf.image.resize(tf.cast(PHOTOGRAPH, tf.float32), (67, 100), antialias=True)

    def difference(least):
        part = tf.image.resize(cropped(content, [0, 0, 403, 601], least), (67, 100))
        return float(tf.reduce_mean(tf.abs(part - seen)))

    assert difference(100) < difference(403) / 2


@pytest.mark.parametrize("content", [stored("PNG"), tf.constant(PHOTOGRAPH)], ids=["png", "pixels"])
def test_decode_crop_keeps_size_of_png_and_pixels(content):
    np.testing.assert_array_equal(cropped(content, BOX, 10), PHOTOGRAPH[101:327, 207:508])
