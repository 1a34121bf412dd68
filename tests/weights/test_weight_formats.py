"""A row of `WEIGHT_FORMATS` is all that a weight format needs, and the documentation names every row."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from conftest import ROOT

from keras_resnet import CIFARResNet, from_weights
from keras_resnet.weights import formats
from keras_resnet.weights.native import named_variables, to_tensors
from keras_resnet.weights.tensors import write_tensors

# Tensors "net.3/stage1_block1_conv1.w", kernels with their axes reversed.
THEIRS = {"kernel": "w", "bias": "b", "gamma": "g", "beta": "h", "moving_mean": "m", "moving_variance": "v"}
REVERSED = formats.WeightFormat(
    name="reversed",
    files="networks for this test",
    matches=lambda names: any(name.startswith("net/") for name in names),
    rename=lambda arrays: {ours(name): value.T for name, value in arrays.items()},
    unseen=lambda names: {"stride_in": "3x3"},
)


def ours(name):
    layer, short = name.removeprefix("net/").split(".")
    return f"{layer}/{next(long for long, each in THEIRS.items() if each == short)}"


def theirs(path):
    layer, variable = path.split("/")
    return f"net/{layer}.{THEIRS[variable]}"


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return CIFARResNet(20, input_shape=(16, 16, 3), classifier_activation=None)


@pytest.fixture
def path(model, tmp_path):
    """Returns a file of the model's weights with the format's names."""
    path = str(tmp_path / "model.safetensors")
    arrays = to_tensors(named_variables(model))
    write_tensors({theirs(name): np.ascontiguousarray(value.T) for name, value in arrays.items()}, path, {})
    return path


def test_added_weight_format_loads_with_equal_logits(model, path, monkeypatch):
    monkeypatch.setattr(formats, "WEIGHT_FORMATS", (*formats.WEIGHT_FORMATS, REVERSED))
    loaded = from_weights(path, input_shape=(16, 16, 3), classifier_activation=None)
    images = np.random.RandomState(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)
    assert loaded.description.spec.name == "cifar_resnet20"
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))


def test_unknown_weight_format_is_refused_in_one_line_that_names_every_format(path, monkeypatch):
    other = dataclasses.replace(REVERSED, matches=lambda names: False)
    monkeypatch.setattr(formats, "WEIGHT_FORMATS", (formats.WEIGHT_FORMATS[0], other))
    message = r"as in no known weight format; known are this package; networks for this test$"
    with pytest.raises(ValueError, match=message):
        from_weights(path)


def test_documentation_names_the_formats_of_the_table():
    text = (ROOT / "docs" / "weights.md").read_text()
    listed = re.search(r"^Weight formats: (.+)\.$", text, re.MULTILINE)[1]
    assert listed.replace("`", "").split(", ") == [each.name for each in formats.WEIGHT_FORMATS]
