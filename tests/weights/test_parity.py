"""Weights from other libraries give the outputs of their networks, and every step of the conversion is needed."""

import dataclasses
import json

import h5py
import keras
import numpy as np
import pytest
import seeded
from conftest import GOLDEN
from safetensors.numpy import save_file
from weights_rig import TORCH, keras_value, logits, relative_error, state_of

from keras_resnet import from_weights
from keras_resnet.builder import build
from keras_resnet.specs import variant
from keras_resnet.weights import conversion, formats
from keras_resnet.weights.loading import load_pretrained, set_pretrained


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    """Returns a function from a fixture's name to a file as its publisher writes it; keeps only one file."""
    folder = tmp_path_factory.mktemp("torch")

    def write(fixture, change=lambda state: state):
        path = folder / "weights.safetensors"
        save_file(change(state_of(fixture)), path)
        return str(path)

    return write


def check_logits(fixture, path, kind):
    """Checks the logits to a relative error of 2e-5, and the architecture that is inferred."""
    golden, images = np.load(GOLDEN / f"{fixture}.npz"), seeded.images(kind)
    statistics = {"mean": 255 * golden["mean"], "std": 255 * golden["std"]}
    model = from_weights(path, **statistics, classifier_activation=None, input_shape=images.shape[1:])
    assert relative_error(model.predict(images.astype(np.float32), verbose=0), golden[f"{kind}_logits"]) < 2e-5
    assert (model.description.spec.name, model.description.spec.version) == TORCH[fixture]


@pytest.mark.sampled("timm_resnetv2_18d")
@pytest.mark.parametrize("fixture", TORCH)
def test_torch_weights_give_the_golden_logits(fixture, torch_file):
    check_logits(fixture, torch_file(fixture), "rect")


@pytest.mark.slow
@pytest.mark.parametrize("fixture", TORCH)
def test_torch_weights_give_the_golden_square_logits_and_statistics(fixture, torch_file):
    """Of square images, and the statistics of the stages, to a relative error of 2e-5."""
    golden, path = np.load(GOLDEN / f"{fixture}.npz"), torch_file(fixture)
    statistics = {"mean": 255 * golden["mean"], "std": 255 * golden["std"]}
    check_logits(fixture, path, "square")
    pretrained = load_pretrained(path, **statistics)
    stages = build(pretrained.spec, features_only=True, input_shape=(224, 224, 3), **statistics)
    arrays = {path: value for path, value in pretrained.arrays.items() if not path.startswith(("logits", "last_bn"))}
    set_pretrained(stages, dataclasses.replace(pretrained, arrays=arrays))
    outputs = stages.predict(seeded.images("square").astype(np.float32), verbose=0)
    for stage, value in outputs.items():
        for statistic, actual in (("mean", value.mean((1, 2))), ("std", value.std((1, 2)))):
            assert relative_error(actual, golden[f"square_{stage}_{statistic}"]) < 2e-5


@pytest.mark.slow
def test_from_weights_ignores_tensor_order_precision_and_prefix(torch_file):
    images, golden = seeded.images("rect"), np.load(GOLDEN / "torchvision_resnet18.npz")["rect_logits"]
    shape = {"classifier_activation": None, "input_shape": images.shape[1:]}
    path = torch_file("torchvision_resnet18", lambda s: {f"module.{name}": s[name] for name in sorted(s, reverse=True)})
    assert relative_error(logits(from_weights(path, **shape), images), golden) < 2e-5
    path = torch_file("torchvision_resnet18", lambda s: {n: v.astype(np.float16) for n, v in s.items() if v.ndim})
    model = from_weights(path, **shape)
    assert model.get_layer("stem_conv").kernel.dtype == "float32"
    assert 1e-5 < relative_error(logits(model, images), golden) < 1e-2  # float16's own error


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("layer1.0.conv1", "layer1.1.conv1"), ("layer3.1.bn1", "layer3.1.bn2")])
def test_swapped_tensors_change_the_logits(pair, torch_file):
    def swap(state):
        one, two = (f"{layer}.weight" for layer in pair)
        return state | {one: state[two], two: state[one]}

    images, golden = seeded.images("rect"), np.load(GOLDEN / "torchvision_resnet18.npz")["rect_logits"]
    path = torch_file("torchvision_resnet18", swap)
    model = from_weights(path, classifier_activation=None, input_shape=images.shape[1:])
    assert relative_error(logits(model, images), golden) > 1e-3


CIFAR_IMAGES = np.random.default_rng([1512, 3387]).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.mark.slow
def test_akamaster_weights_give_the_golden_logits(torch_file):
    golden = np.load(GOLDEN / "akamaster_resnet20.npz")
    path = torch_file("akamaster_resnet20")
    model = from_weights(path, classifier_activation=None)
    assert relative_error(logits(model, CIFAR_IMAGES), golden["logits"]) < 2e-5
    assert (model.name, model.description.spec.implementation.zero_padding_position) == ("cifar_resnet20", "both")

    pretrained = load_pretrained(path)
    end = variant(pretrained.spec, zero_padding_position="end")
    other = build(end, classes=10)
    set_pretrained(other, pretrained)
    assert relative_error(logits(other, CIFAR_IMAGES), golden["logits"]) > 1e-2


@pytest.mark.slow
def test_tf2cv_weights_give_the_golden_logits(tmp_path):
    with h5py.File(tmp_path / "resnet20.h5", "w") as file:
        for name, shape in json.loads((GOLDEN / "tf2cv_resnet20.json").read_text()):
            file[name] = keras_value(name, shape)
    model = from_weights(str(tmp_path / "resnet20.h5"), classifier_activation=None)
    golden = np.load(GOLDEN / "tf2cv_resnet20.npz")["logits"]
    assert relative_error(logits(model, CIFAR_IMAGES), golden) < 2e-5
    assert (model.name, model.description.spec.shortcut) == ("cifar_resnet20", "B")


KERAS = {
    "ResNet50": "resnet50",
    "ResNet101": "resnet101",
    "ResNet152": "resnet152",
    "ResNet50V2": "keras_resnet50v2",
    "ResNet101V2": "keras_resnet101v2",
    "ResNet152V2": "keras_resnet152v2",
}


def keras_network(name, shape=(96, 64, 3), classes=9):
    theirs = getattr(keras.applications, name)(
        weights=None, input_shape=shape, classes=classes, classifier_activation=None
    )
    for variable in theirs.variables:
        variable.assign(keras_value(variable.path, variable.shape))
    return theirs


def keras_preprocessed(name, images):
    module = keras.applications.resnet_v2 if name.endswith("V2") else keras.applications.resnet
    return module.preprocess_input(images.astype(np.float32))


SLOW = ("ResNet101", "ResNet152", "ResNet101V2", "ResNet152V2")


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in KERAS])
def test_keras_applications_weights_give_the_same_logits(name, tmp_path):
    """Seeded weights through a file: images in [0, 255] here, Keras's own preprocessing there; both formats."""
    theirs = keras_network(name)
    path = str(tmp_path / "x.weights.h5")
    theirs.save_weights(path)
    images = seeded.images("rect")[:, :96, :64]
    model = from_weights(path, classifier_activation=None, input_shape=images.shape[1:])
    expected = theirs.predict(keras_preprocessed(name, images), verbose=0)
    assert relative_error(logits(model, images), expected) < 2e-5
    assert model.name == KERAS[name]


@pytest.mark.slow
def test_keras_legacy_hdf5_weights_give_the_same_logits(tmp_path):
    """The layouts of the published files and of `model.save("x.h5")`, which writes a whole model."""
    theirs = keras_network("ResNet50V2")
    theirs.save(tmp_path / "whole.h5")
    with h5py.File(tmp_path / "whole.h5") as whole, h5py.File(tmp_path / "weights.h5", "w") as weights:
        for layer in whole["model_weights"]:
            whole.copy(f"model_weights/{layer}", weights)
    images = seeded.images("rect")[:, :96, :64]
    expected = theirs.predict(keras_preprocessed("ResNet50V2", images), verbose=0)
    for name in ("whole.h5", "weights.h5"):
        model = from_weights(str(tmp_path / name), classifier_activation=None, input_shape=images.shape[1:])
        assert relative_error(logits(model, images), expected) < 2e-5


FOLDS = {
    "biases": lambda monkeypatch: monkeypatch.setattr(conversion, "fold_biases", lambda arrays: _drop_biases(arrays)),
    "epsilon": lambda monkeypatch: monkeypatch.setattr(conversion, "fold_epsilon", lambda arrays, epsilon: None),
    "channels": lambda monkeypatch: _convention(monkeypatch, bgr=False),
    "mean": lambda monkeypatch: _convention(
        monkeypatch,
        preprocessing=lambda names: conversion.Preprocessing(mean=(103.939, 116.779, 123.68), std=(1.0,) * 3),
    ),
    "stride": lambda monkeypatch: _convention(monkeypatch, unseen=lambda names: {"stride_in": "3x3"}),
}


def _drop_biases(arrays):
    for path in [path for path in arrays if (path.endswith("/bias") and "conv" in path) or "proj/bias" in path]:
        del arrays[path]


def _convention(monkeypatch, **changes):
    changed = tuple(
        dataclasses.replace(each, **changes) if each.name == "keras_applications v1" else each
        for each in formats.WEIGHT_FORMATS
    )
    monkeypatch.setattr(formats, "WEIGHT_FORMATS", changed)


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    """Returns a file of keras.applications' ResNet-50, images and logits; small variances make epsilon visible."""
    theirs = keras_network("ResNet50", (64, 64, 3))
    for layer in theirs.layers:
        if layer.name.endswith("_bn"):
            layer.moving_variance.assign(1e-3 * layer.moving_variance)
            layer.gamma.assign(0.03 * layer.gamma)
    path = str(tmp_path_factory.mktemp("keras") / "x.weights.h5")
    theirs.save_weights(path)
    images = seeded.images("rect")[:, :64, :64]
    return path, images, theirs.predict(keras_preprocessed("ResNet50", images), verbose=0)


def keras_error(keras_file):
    path, images, expected = keras_file
    return relative_error(
        logits(from_weights(path, classifier_activation=None, input_shape=(64, 64, 3)), images), expected
    )


@pytest.mark.slow
def test_conversion_with_all_folds_gives_the_same_logits(keras_file):
    assert keras_error(keras_file) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("fold", FOLDS)
def test_conversion_without_one_fold_gives_other_logits(fold, keras_file, monkeypatch):
    FOLDS[fold](monkeypatch)
    assert keras_error(keras_file) > 2e-5
