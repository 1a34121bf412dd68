"""What is read of a file, at which size."""

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
    """In a graph, as tf.data runs it."""
    return tf.function(lambda: decode_crop(content, lambda height, width: tf.constant(box), 3, least))().numpy()


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2}, {"progressive": True}])
@pytest.mark.parametrize(("ratio", "least"), [(1, (114, 227)), (2, (57, 113)), (4, (29, 56)), (8, (1, 28))])
def test_a_large_part_of_a_jpeg_is_decoded_smaller(ratio, least, options):
    """Of 226 x 301 pixels a half is made if 113 are enough, an eighth if 28 are; the same part of the image."""
    content = stored(quality=95, **options)
    whole = tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE").numpy().astype(float)
    top, left, height, width = (each // ratio for each in BOX)

    def average(down, right):
        """What it should be, so many of its pixels further."""
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


def test_the_last_pixels_of_an_odd_size_can_be_had():
    for box in ([0, 0, 403, 601], [3, 5, 400, 596], [387, 585, 16, 16]):
        assert cropped(stored(), box, 2).shape == (box[2] // 8, box[3] // 8, 3)


def test_decoding_smaller_averages():
    """Closer to what validation sees, which is antialiased, than one pixel in six and its neighbor."""
    content = stored(quality=95)
    seen = tf.image.resize(tf.cast(PHOTOGRAPH, tf.float32), (67, 100), antialias=True)

    def difference(least):
        part = tf.image.resize(cropped(content, [0, 0, 403, 601], least), (67, 100))
        return float(tf.reduce_mean(tf.abs(part - seen)))

    assert difference(100) < difference(403) / 2


@pytest.mark.parametrize("content", [stored("PNG"), tf.constant(PHOTOGRAPH)], ids=["png", "pixels"])
def test_other_images_keep_their_size(content):
    np.testing.assert_array_equal(cropped(content, BOX, 10), PHOTOGRAPH[101:327, 207:508])
