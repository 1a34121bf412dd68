"""Tests the requirements that all analysis functions have for a model."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_resnet

IMAGES = np.random.RandomState(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
LABELS = np.array([1, 2])


@pytest.mark.slow
@pytest.mark.parametrize(
    "measure",
    [
        keras_resnet.complexity,
        lambda model: keras_resnet.layer_responses(model, IMAGES),
        lambda model: keras_resnet.activation_norms(model, IMAGES),
        lambda model: keras_resnet.gradient_norms(model, IMAGES, LABELS),
        lambda model: keras_resnet.preactivation_percentiles(model, IMAGES),
    ],
)
def test_measure_nested_model_raises(measure):
    inner = keras_resnet.CIFARResNet(20, input_shape=(16, 16, 3))
    inputs = keras.Input((16, 16, 3))
    outer = keras.Model(inputs, inner(layers.RandomFlip()(layers.Conv2D(3, 3, padding="same")(inputs))))
    with pytest.raises(ValueError, match=f'its layer "{inner.name}" is a model; give model.get_layer'):
        measure(outer)
    measure(inner)


@pytest.mark.parametrize(
    "measure",
    [
        keras_resnet.layer_responses,
        keras_resnet.activation_norms,
        keras_resnet.batch_norm_statistics,
        keras_resnet.preactivation_percentiles,
    ],
)
def test_measure_without_images_raises(measure):
    with pytest.raises(ValueError, match="images: expected one or more, got none"):
        measure(keras_resnet.CIFARResNet(20), np.zeros((0, 32, 32, 3)))


@pytest.mark.slow
def test_measure_uses_data_format_of_model():
    """The current global image data format of Keras does not matter."""
    keras.config.set_image_data_format("channels_first")
    try:
        model = keras_resnet.CIFARResNet(20, input_shape=(3, 16, 16))
    finally:
        keras.config.set_image_data_format("channels_last")
    other = keras_resnet.CIFARResNet(20, input_shape=(16, 16, 3))
    other.set_weights(model.get_weights())
    turned = IMAGES.transpose(0, 3, 1, 2)
    expected = keras_resnet.preactivation_percentiles(other, IMAGES)
    for name, found in keras_resnet.preactivation_percentiles(model, turned).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-3, atol=1e-3)
    maps = keras_resnet.grad_cam(other, IMAGES, [1, 2])
    assert maps.max() > 0
    np.testing.assert_allclose(keras_resnet.grad_cam(model, turned, [1, 2]), maps, atol=1e-4 * maps.max())


def test_gradient_norms_start_at_logits():
    """The norms are equal with and without a softmax after the logits."""
    model = keras_resnet.CIFARResNet(20, input_shape=(16, 16, 3))
    bare = keras.Model(model.inputs, model.get_layer("logits").output)
    found, expected = (keras_resnet.gradient_norms(each, IMAGES, LABELS) for each in (model, bare))
    assert found["layer"][-1] == "logits"
    assert found["output"][-1] > 0
    np.testing.assert_array_equal(found, expected)
