"""Tests responses of layers with known scale."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_resnet import SPECS, BatchNormalization, Spec, build, layer_responses, variant

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.uniform(0, 255, (12, 8, 8, 3)).astype(np.float32)
TINY = Spec(name="tiny", stem="cifar", block="basic", depths=(1, 1), widths=(4, 8), shortcut="A")


def scaled(gain, normalized):
    """Returns images -> 3x3 convolution with gain `gain` -> batch normalization if `normalized` -> ReLU -> head."""
    images = x = keras.Input((4, 4, 1))
    x = layers.Conv2D(1, 3, padding="same", use_bias=False, name="first")(x)
    if normalized:
        x = BatchNormalization(epsilon=0.0, name="bn")(x)
    x = layers.ReLU()(x)
    model = keras.Model(images, layers.Conv2D(1, 1, name="head")(x))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = gain
    model.get_layer("first").kernel.assign(kernel)
    return model


def test_layer_responses_without_normalization():
    images = RANDOM.normal(7, 2, (10, 4, 4, 1)).astype(np.float32)
    (row,) = layer_responses(scaled(-2.0, normalized=False), images, batch_size=3)
    assert row["layer"] == "first"
    assert row["std"] == pytest.approx(2 * images.std(), rel=1e-5)
    assert row["mean"] == pytest.approx(-2 * images.mean(), rel=1e-5)


def test_layer_responses_chain_of_known_gains():
    """Twelve convolutions have gains 1, 2, ... 12; each response grows by the product of the gains so far."""
    images = x = keras.Input((4, 4, 1))
    for gain in range(1, 13):
        kernel = np.zeros((3, 3, 1, 1), np.float32)
        kernel[1, 1] = gain
        x = layers.Conv2D(1, 3, padding="same", kernel_initializer=keras.initializers.Constant(kernel))(x)
    values = RANDOM.normal(0, 1, (10, 4, 4, 1)).astype(np.float32)
    found = layer_responses(keras.Model(images, x), values)["std"]
    np.testing.assert_allclose(found, values.std() * np.cumprod(np.arange(1.0, 13)), rtol=1e-5)


def test_layer_responses_batch_statistics_give_gamma_and_beta():
    """With batch statistics, std is gamma and mean is beta, for any gain of the convolution and despite the ReLU."""
    images = RANDOM.normal(7, 2, (10, 4, 4, 1)).astype(np.float32)
    model = scaled(-0.5, normalized=True)
    model.get_layer("bn").gamma.assign([3.0])
    model.get_layer("bn").beta.assign([-5.0])
    (row,) = layer_responses(model, images, training=True)
    assert (row["std"], row["mean"]) == (pytest.approx(3, rel=1e-4), pytest.approx(-5, rel=1e-4))


def test_layer_responses_moving_statistics():
    """The response is (gain x - mean) / sqrt(variance) at gamma 1: moving variance 16 divides the std by 4."""
    images = RANDOM.normal(7, 2, (10, 4, 4, 1)).astype(np.float32)
    model = scaled(2.0, normalized=True)
    model.get_layer("bn").moving_mean.assign([1.0])
    model.get_layer("bn").moving_variance.assign([16.0])
    (row,) = layer_responses(model, images)
    assert row["std"] == pytest.approx(2 * images.std() / 4, rel=1e-5)
    assert row["mean"] == pytest.approx((2 * images.mean() - 1) / 4, rel=1e-5)


def test_layer_responses_independent_of_batch_size():
    model = build(TINY, input_shape=(8, 8, 3))
    whole, parts = (layer_responses(model, IMAGES, batch_size=size) for size in (12, 5))
    np.testing.assert_allclose(parts["std"], whole["std"], rtol=1e-5)
    np.testing.assert_allclose(parts["mean"], whole["mean"], rtol=1e-4, atol=1e-6)


def test_layer_responses_training_mode_keeps_moving_statistics():
    model = build(TINY, input_shape=(8, 8, 3))
    before = [variable.numpy() for variable in model.variables]
    layer_responses(model, IMAGES, training=True)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, variable.path)


THREE_BY_THREE = ["stem_conv", "stage1_block1_conv1", "stage1_block1_conv2", "stage2_block1_conv1"]
THREE_BY_THREE += ["stage2_block1_conv2"]


@pytest.mark.parametrize("axes", [{}, {"skip": "none"}, {"skip": "gate"}, {"shortcut": "C"}, {"version": "2"}])
def test_layer_responses_rows_are_3x3_layers_in_order(axes):
    """The rows are all 3x3 layers in graph order, without highway gates and projections."""
    model = build(variant(TINY, **axes), input_shape=(8, 8, 3))
    found = layer_responses(model, IMAGES)
    assert list(found["layer"]) == THREE_BY_THREE
    assert np.isfinite(found["std"]).all()
    assert (found["std"] > 0).all()


def test_layer_responses_bottleneck_3x3_and_all_kernels():
    model = build(variant(TINY, block="bottleneck", shortcut="B"), input_shape=(8, 8, 3))
    assert list(layer_responses(model, IMAGES)["layer"]) == ["stem_conv", "stage1_block1_conv2", "stage2_block1_conv2"]
    assert len(layer_responses(model, IMAGES, kernel=None)) == 1 + 2 * 4


def test_layer_responses_saved_model_equals_original(tmp_path):
    model = build(TINY, input_shape=(8, 8, 3))
    model.save(tmp_path / "model.keras")
    loaded = layer_responses(keras.models.load_model(tmp_path / "model.keras"), IMAGES)
    np.testing.assert_array_equal(loaded, layer_responses(model, IMAGES))


@pytest.mark.slow
def test_layer_responses_keras_applications_resnet50():
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), include_top=False)
    assert len(layer_responses(model, RANDOM.rand(2, 32, 32, 3))) == SPECS["resnet50"].layers // 3


def test_layer_responses_no_layer_or_no_images_raises():
    dense = keras.Sequential([keras.Input((3,)), layers.Dense(2)], name="dense")
    with pytest.raises(ValueError, match=r"dense: no 3x3 convolution"):
        layer_responses(dense, IMAGES)
    with pytest.raises(ValueError, match="images"):
        layer_responses(build(TINY, input_shape=(8, 8, 3)), IMAGES[:0])
