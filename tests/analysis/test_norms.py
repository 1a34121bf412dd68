"""Tests norms, mostly on a chain of linear layers, where they are products."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_resnet import Spec, activation_norms, build, gradient_norms

WEIGHTS = (2.0, -3.0, 0.5, 7.0)
IMAGES = np.random.RandomState(0).uniform(0, 255, (6, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def chain():
    """x -> 7 (0.5 (-3 (2 x)))."""
    model = keras.Sequential([keras.Input((1,))] + [layers.Dense(1, use_bias=False, name=f"d{i}") for i in range(4)])
    for layer, weight in zip(model.layers, WEIGHTS, strict=True):
        layer.kernel.assign([[weight]])
    return model


def identity(_, outputs):
    return outputs[:, 0]


def test_gradient_norms_linear_chain_by_hand(chain):
    """The gradient by a weight is the mean x times the other weights; by an output, half the later ones per image."""
    norms = gradient_norms(chain, np.array([[1.0], [4.0]]), [0, 0], loss=identity)
    product = abs(np.prod(WEIGHTS))
    np.testing.assert_allclose(norms["kernel"], [2.5 * product / abs(w) for w in WEIGHTS], rtol=1e-6)
    above = [abs(np.prod(WEIGHTS[i:])) for i in range(1, 5)]
    np.testing.assert_allclose(norms["output"], np.array(above) * np.sqrt(2) / 2, rtol=1e-6)
    assert list(norms["layer"]) == ["d0", "d1", "d2", "d3"]


def test_activation_norms_linear_chain_by_hand(chain):
    norms = activation_norms(chain, np.array([[3.0], [-4.0]]))
    outputs = np.sqrt(12.5) * np.abs(np.cumprod(WEIGHTS))
    np.testing.assert_allclose(norms["output"], outputs, rtol=1e-6)
    np.testing.assert_allclose(norms["input"], [np.sqrt(12.5), *outputs[:-1]], rtol=1e-6)


def test_activation_norms_large_values_do_not_overflow(chain):
    assert activation_norms(chain, np.array([[3e30]]))["output"][-1] == pytest.approx(3e30 * 21, rel=1e-6)


def test_gradient_norms_default_loss_is_cross_entropy():
    """Two logits of 0 have softmax 1/2, so the logits' gradient is (-1/2, 1/2) and the kernel's is x times that."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(2, kernel_initializer="zeros")])
    (row,) = gradient_norms(model, np.array([[3.0]]), [0])
    assert row["output"] == pytest.approx(np.sqrt(0.5))
    assert row["kernel"] == pytest.approx(3 * np.sqrt(0.5))


def test_gradient_norms_frozen_and_unused_kernels():
    inputs = keras.Input((1,))
    used, unused = layers.Dense(1, name="used", trainable=False)(inputs), layers.Dense(1, name="unused")(inputs)
    model = keras.Model(inputs, [used, unused])
    norms = gradient_norms(model, np.array([[3.0]]), [0], loss=identity)
    assert dict(zip(norms["layer"], norms["kernel"], strict=True)) == {"used": pytest.approx(3), "unused": 0}


def test_gradient_norms_equal_keras_training_step():
    """The norms equal those of Keras's gradients of this batch in training mode; moving statistics do not change."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = build(Spec(name="tiny", stem="cifar", block="basic", depths=(1, 1), widths=(4, 8)), input_shape=(8, 8, 3))
    labels = np.arange(6)
    before = [variable.numpy() for variable in model.non_trainable_variables]
    norms = gradient_norms(model, IMAGES, labels)
    for variable, value in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, variable.path)
    with tf.GradientTape() as tape:
        losses = keras.losses.sparse_categorical_crossentropy(labels, model(IMAGES, training=True), from_logits=True)
        loss = tf.reduce_mean(losses)
    kernels = [model.get_layer(str(name)).kernel.value for name in norms["layer"]]
    expected = [np.linalg.norm(gradient) for gradient in tape.gradient(loss, kernels)]
    np.testing.assert_allclose(norms["kernel"], expected, rtol=1e-4)


def test_activation_norms_model_without_kernel_raises():
    with pytest.raises(ValueError, match="empty: no layer"):
        activation_norms(keras.Sequential([keras.Input((2,)), layers.ReLU()], name="empty"), np.ones((1, 2)))
