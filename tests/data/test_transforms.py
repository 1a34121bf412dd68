import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.data import transforms


def image(height, width, channels=1):
    return np.random.RandomState(0).randint(0, 256, (height, width, channels)).astype(np.uint8)


def test_for_test_keeps_image_of_target_size():
    original = image(8, 8)
    np.testing.assert_allclose(transforms.for_test(original, 8).numpy(), original, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (40, 5), (500, 333)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
def test_for_test_makes_any_size_square(height, width, crop_pct):
    result = transforms.for_test(image(height, width, 3), 16, crop_pct)
    assert result.shape == (16, 16, 3)
    assert float(tf.reduce_min(result)) >= 0
    assert float(tf.reduce_max(result)) <= 255.001


def test_for_test_keeps_center():
    """A 4x8 image with columns 0 to 7 is cropped to size 4: columns 2 to 5."""
    columns = np.tile(np.arange(8, dtype=np.uint8)[None, :, None], (4, 1, 1))
    np.testing.assert_allclose(transforms.for_test(columns, 4).numpy()[0, :, 0], [2, 3, 4, 5], atol=1e-5)


def test_random_crop_is_a_window_of_the_padded_image():
    original = tf.constant(image(6, 6), tf.float32)
    padded = np.pad(original.numpy(), [(2, 2), (2, 2), (0, 0)])
    windows = {padded[i : i + 6, j : j + 6].tobytes(): (i, j) for i in range(5) for j in range(5)}
    seen = {windows[transforms.random_crop(original, 2, [1, k]).numpy().tobytes()] for k in range(200)}
    assert len(seen) == 25  # all windows occur, and nothing else


def test_random_flip_probability_is_one_half():
    original = tf.constant(image(4, 4), tf.float32)
    flipped = [not np.array_equal(transforms.random_flip(original, [1, k]), original) for k in range(400)]
    assert 150 < sum(flipped) < 250


def test_random_crop_depends_only_on_seed():
    original = tf.constant(image(6, 6), tf.float32)
    one, other = (transforms.random_crop(original, 2, [3, 4]).numpy() for _ in range(2))
    np.testing.assert_array_equal(one, other)
