"""The block equation with values computed by hand, and the shortcuts that have weights."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_resnet.blocks import block, conv, plan, shortcut
from keras_resnet.builder import build
from keras_resnet.specs import SPECS, Spec, variant

TINY = Spec(name="tiny1", stem="cifar", block="basic", depths=(1,), widths=(2,))


def one_block(spec, channels, width, stride, size=4, first=False):
    """Returns a block as a model, with identity normalizations and zero kernels."""
    inputs = keras.Input((size, size, channels))
    model = keras.Model(inputs, block(inputs, spec, width, stride, "b", 1, 1 if first else 2))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 0.0
    return model


def identity_kernel(layer, factor):
    """Makes a 3x3 convolution multiply every channel by `factor`."""
    kernel = np.zeros(layer.kernel.shape)
    kernel[1, 1] = factor * np.eye(*kernel.shape[2:])
    layer.kernel.assign(kernel)


def test_block_with_zero_weights_returns_relu_of_its_input():
    """F = 0: y = relu(x)."""
    x = np.random.RandomState(0).normal(size=(2, 4, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(one_block(TINY, 2, 2, 1).predict(x, verbose=0), np.maximum(x, 0), rtol=1e-6)


def test_postactivation_block_by_hand():
    """F(x) = 3 relu(2 x), so y = relu(6 relu(x) + x): 7 where x is 1, 0 where x is -1."""
    model = one_block(TINY, 2, 2, 1)
    identity_kernel(model.get_layer("b_conv1"), 2)
    identity_kernel(model.get_layer("b_conv2"), 3)
    for value, expected in ((1, 7), (-1, 0)):
        y = model.predict(np.full((1, 4, 4, 2), value, np.float32), verbose=0)
        np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_preactivation_block_by_hand():
    """y = x + 3 relu(2 relu(x)), without a ReLU at the end: 7 where x is 1, -1 where x is -1."""
    model = one_block(dataclasses.replace(TINY, preactivation=True), 2, 2, 1)
    identity_kernel(model.get_layer("b_conv1"), 2)
    identity_kernel(model.get_layer("b_conv2"), 3)
    for value, expected in ((1, 7), (-1, -1)):
        y = model.predict(np.full((1, 4, 4, 2), value, np.float32), verbose=0)
        np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_first_preactivation_block_shortcut_starts_after_activation():
    """F = 0: y = relu(x), since the first block's shortcut starts after the activation."""
    model = one_block(dataclasses.replace(TINY, preactivation=True), 2, 2, 1, first=True)
    np.testing.assert_allclose(model.predict(np.full((1, 4, 4, 2), -1, np.float32), verbose=0), 0)


def test_highway_block_by_hand():
    """F = 0, T = sigmoid(-2) everywhere: y = (1 - T) relu(x), so a new block mostly passes x on."""
    model = one_block(dataclasses.replace(TINY, skip="gate"), 2, 2, 1)
    y = model.predict(np.full((1, 4, 4, 2), 3, np.float32), verbose=0)
    np.testing.assert_allclose(y, 3 * (1 - 1 / (1 + np.exp(2))), rtol=1e-6)


def test_highway_block_with_open_gate_returns_f():
    """T = 1: y = F(x) = 6 where x is 1."""
    model = one_block(dataclasses.replace(TINY, skip="gate"), 2, 2, 1)
    identity_kernel(model.get_layer("b_conv1"), 2)
    identity_kernel(model.get_layer("b_conv2"), 3)
    model.get_layer("b_gate").bias.assign([100, 100])
    np.testing.assert_allclose(model.predict(np.ones((1, 4, 4, 2), np.float32), verbose=0), 6, rtol=1e-6)


def test_squeeze_and_excitation_by_hand():
    """Zero kernels: every channel times sigmoid(0) = 1/2; F = 6 where x is 1, so y = 6 / 2 + 1."""
    spec = dataclasses.replace(TINY, se_reduction=2)
    model = one_block(spec, 2, 2, 1)
    identity_kernel(model.get_layer("b_conv1"), 2)
    identity_kernel(model.get_layer("b_conv2"), 3)
    np.testing.assert_allclose(model.predict(np.ones((1, 4, 4, 2), np.float32), verbose=0), 4, rtol=1e-6)


def test_avg_down_projection_averages_2x2_pixels():
    """ResNet-D: the mean of each 2x2; at an odd size, the mean of the remaining pixels."""
    inputs = keras.Input((3, 3, 1))
    spec = variant(TINY, avg_down=True, normalization="none")
    model = keras.Model(inputs, shortcut(inputs, inputs, 1, 2, spec, "b"))
    model.get_layer("b_proj").kernel.assign(np.ones((1, 1, 1, 1)))
    y = model.predict(np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1), verbose=0)
    np.testing.assert_allclose(y[0, :, :, 0], [[2, 3.5], [6.5, 8]])


@pytest.mark.parametrize(("placement", "channels"), [("end", [7, 0, 0]), ("both", [0, 7, 0])])
def test_option_a_zero_padding_position(placement, channels):
    inputs = keras.Input((2, 2, 1))
    spec = variant(TINY, shortcut="A", zero_padding_position=placement)
    model = keras.Model(inputs, shortcut(inputs, inputs, 3, 1, spec, "b"))
    np.testing.assert_array_equal(model.predict(np.full((1, 2, 2, 1), 7.0), verbose=0)[0, 0, 0], channels)


def test_convolutions_without_normalization_have_biases():
    model = build(variant(SPECS["cifar_resnet20"], normalization="none"))
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(layer.use_bias for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


@pytest.mark.parametrize(
    ("initialization", "variance"), [("he", 2.0), ("small", 0.5), ("large", 8.0), ("xavier", None)]
)
def test_initialization_variance(initialization, variance):
    """Fan-out 9 * 64; Xavier's 2 / (fan-in + fan-out) with fan-in 9 * 32."""
    inputs = keras.Input((8, 8, 32))
    spec = variant(TINY, initialization=initialization)
    model = keras.Model(inputs, conv(inputs, spec, 3, 64, 1, "c"))
    expected = variance / (9 * 64) if variance else 2 / (9 * 32 + 9 * 64)
    assert np.var(model.get_layer("c").kernel.numpy()) == pytest.approx(expected, rel=0.05)


def test_activation_sigmoid_replaces_every_relu():
    model = build(variant(SPECS["cifar_resnet20"], activation="sigmoid"))
    kinds = {layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)}
    assert kinds == {"sigmoid"}


def test_plain_block_returns_f():
    model = one_block(dataclasses.replace(TINY, skip="none"), 2, 2, 1)
    identity_kernel(model.get_layer("b_conv1"), 2)
    identity_kernel(model.get_layer("b_conv2"), 3)
    np.testing.assert_allclose(model.predict(np.ones((1, 4, 4, 2), np.float32), verbose=0), 6, rtol=1e-6)


def test_option_a_takes_every_second_pixel_and_appends_zeros():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    inputs = keras.Input((4, 4, 1))
    spec = dataclasses.replace(TINY, shortcut="A")
    model = keras.Model(inputs, shortcut(inputs, inputs, 3, 2, spec, "b"))
    y = model.predict(x, verbose=0)
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 2], [8, 10]])
    np.testing.assert_array_equal(y[..., 1:], 0)
    assert not model.variables


@pytest.mark.parametrize(
    ("option", "expected"),
    [("A", {}), ("B", {"stage2_block1", "stage3_block1", "stage4_block1"}), ("C", "all")],
)
def test_resnet34_projections_by_shortcut_option(option, expected):
    model = build(variant(SPECS["resnet34"], shortcut=option), input_shape=(32, 32, 3))
    projections = {layer.name.removesuffix("_proj") for layer in model.layers if layer.name.endswith("_proj")}
    blocks = {layer.name.removesuffix("_add") for layer in model.layers if layer.name.endswith("_add")}
    assert projections == (blocks if expected == "all" else set(expected))
    assert len(blocks) == 16


def test_resnet50_has_projections_in_every_first_block():
    model = build(SPECS["resnet50"], input_shape=(32, 32, 3))
    projections = [layer.name for layer in model.layers if layer.name.endswith("_proj")]
    assert projections == [f"stage{i}_block1_proj" for i in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", ["plain18", "plain34", "cifar_plain20"])
def test_plain_networks_have_no_addition(name):
    model = build(SPECS[name], input_shape=(32, 32, 3))
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Add) or "proj" in layer.name]


def test_stride_position_by_version():
    spec = SPECS["resnet50"]
    assert plan(spec, 8, 2) == [(1, 8, 2, 1), (3, 8, 1, 1), (1, 32, 1, 1)]
    assert plan(variant(spec, version="1.5"), 8, 2) == [(1, 8, 1, 1), (3, 8, 2, 1), (1, 32, 1, 1)]
    assert plan(SPECS["resnet18"], 8, 2) == [(3, 8, 2, 1), (3, 8, 1, 1)]


def test_strided_convolution_alignment_equals_torch():
    """3x3, stride 2, zeros on every side: output 0 is centered on pixel 0 (Keras's "same": on pixel 1)."""
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, conv(inputs, TINY, 3, 1, 2, "c"))
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    model.get_layer("c").kernel.assign(kernel)
    y = model.predict(np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1), verbose=0)
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 2], [8, 10]])


@pytest.mark.parametrize("channels", [3, 8, 16])
def test_strided_projection_gradient_equals_numpy(channels):
    """The kernel gradient sums input times output gradient over pixels. oneDNN's is wrong for few channels."""
    import tensorflow as tf

    random = np.random.RandomState(0)
    x = random.normal(size=(6, 8, 8, channels)).astype(np.float32)
    above = random.normal(size=(6, 4, 4, 8)).astype(np.float32)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, conv(inputs, TINY, 1, 8, 2, "proj"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(x) * above)
    gradient = tape.gradient(total, model.get_layer("proj").kernel.value)[0, 0]
    np.testing.assert_allclose(gradient, np.einsum("nhwi,nhwo->io", x[:, ::2, ::2], above), rtol=1e-4, atol=1e-4)
