"""Tests Grad-CAM on heat maps that are computed by hand."""

import keras
import numpy as np
import pytest

from keras_resnet import CIFARResNet, ResNet50
from keras_resnet.analysis.grad_cam import grad_cam


def small():
    """Returns a model with two feature maps, x and 10 - x, whose averages a and b give logits 4 a and -4 a + 8 b."""
    images = keras.Input((2, 2, 1))
    features = keras.layers.Conv2D(2, 1, name="features")(images)
    logits = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D(name="pool")(features))
    model = keras.Model(images, logits)
    model.get_layer("features").set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 10.0])])
    model.get_layer("logits").set_weights([np.array([[4.0, -4.0], [0.0, 8.0]]), np.zeros(2)])
    return model


IMAGES = np.array([[[1.0, 2.0], [3.0, 8.0]]])[..., None]


def test_grad_cam_by_hand():
    """There are four positions, so the derivative of 4 mean(a) is 1 at each and the map of class 0 is x.

    For class 1 the derivatives are -1 and 2, so the map is 2 (10 - x) - x = 20 - 3 x: 17, 14, 11, and -4 for x = 8,
    which ReLU sets to 0.
    """
    np.testing.assert_allclose(grad_cam(small(), IMAGES, [0])[0], [[1, 2], [3, 8]])
    np.testing.assert_allclose(grad_cam(small(), IMAGES, [1])[0], [[17, 14], [11, 0]])


def test_grad_cam_defaults_to_predicted_class():
    """The means are 3.5 and 6.5, so the logits are 14 and 38 and class 1 is predicted."""
    np.testing.assert_allclose(grad_cam(small(), IMAGES), grad_cam(small(), IMAGES, [1]))


def test_grad_cam_frozen_weights_and_named_layer():
    model = small()
    model.trainable = False
    np.testing.assert_allclose(grad_cam(model, IMAGES, [1], "features")[0], [[17, 14], [11, 0]])


def test_grad_cam_one_class_per_image():
    both = grad_cam(small(), np.concatenate([IMAGES, IMAGES]), [1, 0])
    np.testing.assert_allclose(both, [[[17, 14], [11, 0]], [[1, 2], [3, 8]]])


def test_grad_cam_last_feature_map_equals_cam():
    """Zhou et al. 2016 weight the features by the classifier's kernel; here divided by the number of positions."""
    model = CIFARResNet(20)
    keras.utils.set_random_seed(0)
    images = np.random.RandomState(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    features = keras.Model(model.inputs, model.get_layer("pool").input)(images).numpy()
    kernel = model.get_layer("logits").get_weights()[0]
    expected = np.maximum(features @ kernel[:, [3, 7]], 0) / 64
    actual = grad_cam(model, images, [3, 7])
    assert actual.shape == (2, 8, 8)
    scale = expected.max()
    np.testing.assert_allclose(actual[0] / scale, expected[0, ..., 0] / scale, atol=1e-5)
    np.testing.assert_allclose(actual[1] / scale, expected[1, ..., 1] / scale, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1", "2"])
def test_grad_cam_ignores_softmax_and_takes_any_stage(version):
    model = CIFARResNet(20, version=version)
    images = np.random.RandomState(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    assert grad_cam(model, images, layer="stage2_block3_add").shape == (1, 16, 16)
    bare = keras.Model(model.inputs, model.get_layer("logits").output)
    np.testing.assert_array_equal(grad_cam(model, images, [4]), grad_cam(bare, images, [4]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "stage9"}, 'has no layer "stage9"'),
        ({"layer": "pool"}, "expected feature maps"),
        ({"layer": "logits"}, 'has no layer "logits" before its head'),
    ],
)
def test_grad_cam_unusable_layer_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(small(), IMAGES, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [[10, 0], [-1, 0], [1], [0.5, 1.0], 3])
def test_grad_cam_refuses_classes_that_the_model_lacks(classes):
    with pytest.raises(ValueError, match=r"^classes: got .*, expected 2 whole numbers from 0 to 9$"):
        grad_cam(CIFARResNet(8), np.zeros((2, 32, 32, 3), np.float32), classes)


def test_grad_cam_without_head_raises():
    with pytest.raises(ValueError, match="needs a network with its head"):
        grad_cam(ResNet50(include_top=False), np.zeros((1, 64, 64, 3)))


def head_of(kind, features):
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    if kind == "activated":
        return keras.layers.Dense(2, activation="softmax", name="scores")(pooled)
    if kind == "softmax":
        return keras.layers.Softmax()(keras.layers.Dense(2, name="scores")(pooled))
    hidden = keras.layers.Dense(2, use_bias=False, name="hidden")(pooled)  # the identity
    return keras.layers.Dense(2, activation="softmax", name="scores")(keras.layers.Dropout(0.5)(hidden))


@pytest.mark.sampled("flat-stack", "functional-activated", "sequential-softmax")
@pytest.mark.parametrize("kind", ["activated", "softmax", "stack"])
@pytest.mark.parametrize("nested", ["flat", "functional", "sequential", "twice"])
def test_grad_cam_other_heads_and_nested_models(kind, nested):
    """The maps equal those of `small` for every name of the head and every nesting of the backbone."""
    backbone = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(2, 1, name="features")], name="backbone")
    images = keras.Input((2, 2, 1))
    if nested == "functional":
        features = keras.Model(backbone.inputs[0], backbone.outputs[0], name="inner")(images)
    elif nested == "flat":
        features = backbone.get_layer("features")(images)
    else:
        features = backbone(images)
    model = keras.Model(images, head_of(kind, features))
    if nested == "twice":
        outer = keras.Input((2, 2, 1))
        model = keras.Model(outer, model(outer))
    backbone.get_layer("features").set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 10.0])])
    for layer in (model if nested != "twice" else model.layers[1]).layers:
        if layer.name == "scores":
            layer.set_weights([np.array([[4.0, -4.0], [0.0, 8.0]]), np.zeros(2)])
        if layer.name == "hidden":
            layer.set_weights([np.eye(2)])
    for name in (None, "features"):
        np.testing.assert_allclose(grad_cam(model, IMAGES, [0], name)[0], [[1, 2], [3, 8]])
        np.testing.assert_allclose(grad_cam(model, IMAGES, [1], name)[0], [[17, 14], [11, 0]])


@pytest.mark.slow
def test_grad_cam_nested_backbone_equals_flat_model():
    """A model with a nested backbone gives the maps of the same layers without nesting, and is not modified."""
    keras.utils.set_random_seed(0)
    backbone = CIFARResNet(20, include_top=False, input_shape=(16, 16, 3))
    images = keras.Input((16, 16, 3))
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalMaxPooling2D()(backbone(images)))
    model = keras.Model(images, outputs)
    config = model.get_config()
    pixels = np.random.RandomState(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    nested = grad_cam(model, pixels, [2, 0])
    assert nested.shape == (2, 4, 4)
    assert nested.max() > 0
    *_, pool, dense = model.layers
    flat = keras.Model(backbone.inputs, dense(pool(backbone.outputs[0])))
    np.testing.assert_allclose(grad_cam(flat, pixels, [2, 0]), nested, rtol=1e-5, atol=1e-6)
    assert model.get_config() == config
