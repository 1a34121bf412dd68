"""The package's batch normalization equals Keras's in every output and every stored value."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.layers import BatchNormalization, ChannelsFirstConv2D, Pad

TOLERANCE = {"float32": 1e-5, "float64": 1e-5, "mixed_bfloat16": 2e-2, "mixed_float16": 2e-3}


def pair(shape, axis, **arguments):
    """Returns (this package's layer, Keras's layer) with equal random variables."""
    random = np.random.RandomState(1)
    layers = [
        cls(axis=axis, momentum=0.9, epsilon=1e-5, **arguments)
        for cls in (BatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build(shape)
    for ours, theirs in zip(*[layer.weights for layer in layers], strict=True):
        value = random.uniform(0.5, 1.5, ours.shape)
        ours.assign(value)
        theirs.assign(value)
    return layers


def outcome(layer, x, training):
    """Returns every observable value of one call: output, gradients, moving statistics."""
    weights = tf.cast(tf.random.stateless_normal(x.shape, [1, 2]), x.dtype)  # a sum of squares would have no gradient
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        total = tf.reduce_sum(tf.cast(y * tf.cast(weights, y.dtype), tf.float32))
    gradients = tape.gradient(total, [x, *[variable.value for variable in layer.trainable_variables]])
    return [y, *gradients, layer.moving_mean, layer.moving_variance]


def assert_same(layers, x, training, tolerance):
    for ours, theirs in zip(*[outcome(layer, x, training) for layer in layers], strict=True):
        ours, theirs = (np.asarray(keras.ops.convert_to_numpy(value), np.float64) for value in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("axis", [3, 1, -1])
@pytest.mark.parametrize("name", list(TOLERANCE))
def test_batch_norm_equals_keras(name, axis, training, policy):
    policy(name)
    dtype = keras.config.dtype_policy().compute_dtype
    x = tf.cast(tf.random.stateless_normal((4, 5, 6, 7), [3, 4], 2.0, 3.0), dtype)
    assert_same(pair(x.shape, axis), x, training, TOLERANCE[name])


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}, {"scale": False, "center": False}])
def test_batch_norm_without_scale_or_offset_equals_keras(arguments):
    x = tf.random.stateless_normal((4, 5, 6, 7), [3, 4])
    assert_same(pair(x.shape, 3, **arguments), x, True, 1e-5)


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 6), (2, 3, 4, 5, 6)])
def test_batch_norm_of_other_ranks_equals_keras(shape):
    x = tf.random.stateless_normal(shape, [3, 4])
    assert_same(pair(shape, -1), x, True, 1e-5)


def test_batch_norm_training_uses_the_fused_kernel():
    """Otherwise the tests above would compare Keras with itself."""
    layer = BatchNormalization()
    step = tf.function(lambda x: layer(x, training=True))
    graph = step.get_concrete_function(tf.TensorSpec((2, 4, 4, 3))).graph
    assert "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}
    inference = tf.function(lambda x: layer(x, training=False)).get_concrete_function(tf.TensorSpec((2, 4, 4, 3)))
    assert "FusedBatchNormV3" not in {operation.type for operation in inference.graph.get_operations()}


def test_synchronized_batch_norm_does_not_use_the_fused_kernel():
    layer = BatchNormalization(synchronized=True)
    step = tf.function(lambda x: layer(x, training=True))
    graph = step.get_concrete_function(tf.TensorSpec((2, 4, 4, 3))).graph
    assert "FusedBatchNormV3" not in {operation.type for operation in graph.get_operations()}


def test_frozen_batch_norm_keeps_its_statistics():
    layer = BatchNormalization()
    layer.build((2, 4, 4, 3))
    layer.trainable = False
    layer(tf.ones((2, 4, 4, 3)), training=True)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)


def test_batch_norm_of_an_empty_batch_keeps_its_statistics():
    """A replica may get no image of an uneven last batch."""
    layer = BatchNormalization()
    layer(tf.zeros((0, 4, 4, 3)), training=True)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)
    np.testing.assert_array_equal(layer.moving_variance.numpy(), 1)


def test_moving_variance_by_hand():
    """Two pixels 0 and 2: population variance 1, not the kernel's 2; 0.9 * 1 + 0.1 * 1."""
    layer = BatchNormalization(momentum=0.9)
    layer(tf.constant([0.0, 2.0], shape=(2, 1, 1, 1)), training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), [0.1], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), [1.0], rtol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3},  # 6 filters, and 6 is the width: Keras's own layer adds the bias to the width
        {"kernel_size": 3, "padding": "same", "strides": 2},
        {"kernel_size": 1, "use_bias": False, "activation": "relu"},
        {"kernel_size": 3, "groups": 2, "padding": "same"},
        {"kernel_size": 3, "dilation_rate": 2},
    ],
)
def test_channels_first_convolution_equals_channels_last(arguments):
    """Sums of small integers are exact in any order and kernel: outputs and gradients are bit-identical."""
    random = np.random.RandomState(0)
    x = random.randint(-4, 5, (2, 7, 8, 4)).astype(np.float32)
    results = {}
    for cls, order in ((ChannelsFirstConv2D, (0, 3, 1, 2)), (keras.layers.Conv2D, (0, 1, 2, 3))):
        layer = cls(6, **arguments)
        images = tf.constant(x.transpose(order))
        layer.build(images.shape)
        layer.set_weights([np.random.RandomState(i).randint(-3, 4, w.shape) for i, w in enumerate(layer.weights)])
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
            total = tf.reduce_sum(outputs)
        gradients = tape.gradient(total, [images, *[variable.value for variable in layer.trainable_variables]])
        back = np.argsort(order)
        assert layer.compute_output_shape(images.shape) == outputs.shape
        results[cls] = [outputs.numpy().transpose(back), gradients[0].numpy().transpose(back), *gradients[1:]]
    for ours, theirs in zip(*results.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_channels_first_convolution_refuses_other_formats():
    with pytest.raises(ValueError, match="data_format must be \"channels_first\", got 'channels_last'"):
        ChannelsFirstConv2D(1, 1, data_format="channels_last")


def test_pad_with_zeros_and_edges():
    x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    zeros = keras.ops.convert_to_numpy(Pad([(0, 0), (0, 0), (0, 0), (0, 2)])(x))
    np.testing.assert_array_equal(zeros[0, 1, 1], [3, 0, 0])
    edges = keras.ops.convert_to_numpy(Pad([(0, 0), (1, 1), (1, 1), (0, 0)], "symmetric")(x))
    np.testing.assert_array_equal(edges[0, :, :, 0], [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
