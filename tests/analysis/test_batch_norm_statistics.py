"""Statistics and percentiles of a layer of known scale and shift."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_resnet import BatchNormalization, batch_norm_statistics, preactivation_percentiles

RANDOM = np.random.RandomState(0)


@pytest.fixture
def model():
    """images (N, 2, 2, 2) -> convolution with gain 2 -> batch normalization with gamma (3, 0) and beta 5."""
    images = keras.Input((2, 2, 2))
    x = layers.Conv2D(2, 3, padding="same", use_bias=False, name="conv")(images)
    model = keras.Model(images, BatchNormalization(epsilon=1e-3, name="bn")(x))
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[1, 1] = 2 * np.eye(2)
    model.get_layer("conv").kernel.assign(kernel)
    model.get_layer("bn").gamma.assign([3.0, 0.0])
    model.get_layer("bn").beta.assign([5.0, 5.0])
    return model


@pytest.mark.parametrize("kind", [BatchNormalization, layers.BatchNormalization])
def test_batch_norm_statistics_batch_mean_0_and_variance_1(kind):
    images = RANDOM.normal([3, -4], [0.1, 20], (50, 4, 4, 2)).astype(np.float32)
    model = keras.Sequential([keras.Input((4, 4, 2)), kind(epsilon=1e-3, name="bn")])
    before = model.get_layer("bn").moving_mean.numpy()
    rows = batch_norm_statistics(model, images)
    assert list(rows["layer"]) == ["bn", "bn"]
    np.testing.assert_allclose(rows["input_mean"], images.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(rows["input_variance"], images.var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(rows["mean"], 0, atol=1e-4)
    np.testing.assert_allclose(rows["variance"], [0.01 / 0.011, 1], rtol=0.02)
    np.testing.assert_allclose(rows["variance"], rows["expected_variance"], rtol=1e-3)
    np.testing.assert_array_equal(model.get_layer("bn").moving_mean, before)


def test_batch_norm_statistics_moving_statistics(model):
    """With moving mean 0 and moving variance 1, the output equals the input, which the convolution doubled."""
    images = RANDOM.normal(3, 2, (50, 2, 2, 2)).astype(np.float32)
    row = batch_norm_statistics(model, images, training=False)[0]
    assert row["mean"] == pytest.approx(2 * images[..., 0].mean() / np.sqrt(1.001), rel=1e-4)
    assert row["variance"] == pytest.approx(4 * images[..., 0].var() / 1.001, rel=1e-4)


def test_batch_norm_statistics_gamma_0_gives_nan_variance(model):
    rows = batch_norm_statistics(model, RANDOM.normal(3, 2, (50, 2, 2, 2)).astype(np.float32))
    assert np.isnan(rows["variance"][1])
    assert rows["variance"][0] == pytest.approx(1, rel=1e-3)


def test_preactivation_percentiles_known_scale_and_shift(model):
    """The preactivation is 3 z + 5, where z has mean 0 and standard deviation 1; where gamma is 0 it is 5."""
    images = RANDOM.normal(3, 2, (5000, 2, 2, 2)).astype(np.float32)
    found = preactivation_percentiles(model, images, percentiles=(2.275, 50, 97.725))
    assert list(found) == ["conv"]
    np.testing.assert_allclose(found["conv"][0], [5 - 6, 5, 5 + 6], atol=0.15)  # two standard deviations
    np.testing.assert_allclose(found["conv"][1], [5, 5, 5], atol=1e-5)


def test_batch_norm_statistics_model_without_batch_norm_raises():
    plain = keras.Sequential([keras.Input((2, 2, 1)), layers.Conv2D(1, 3, padding="same")], name="plain")
    with pytest.raises(ValueError, match="plain: has no batch normalization"):
        batch_norm_statistics(plain, np.ones((1, 2, 2, 1)))
