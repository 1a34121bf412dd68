"""Folded networks give the outputs of the original networks; which operations folding removes."""

import collections

import keras
import numpy as np
import pytest

from keras_resnet.builder import build
from keras_resnet.export.graph import answers, fold, frozen_network, plain_network
from keras_resnet.specs import SPECS, variant

TINY = {"depths": (1, 1), "widths": (8, 16)}
NETS = {
    "post": {},
    "projection": {"shortcut": "B"},
    "bottleneck 1.5": {"block": "bottleneck", "shortcut": "B", "stride_in": "3x3", "groups": 2},
    "pre": {"preactivation": True},
    "squeeze": {"se_reduction": 4},
    "plain": {"skip": "none"},
    "gate": {"skip": "gate"},
    "deep stem": {"stem": "deep", "avg_down": True, "shortcut": "B"},
    "none": {"normalization": "none"},
}


def network(axes, channels=3):
    """Returns a small network with random weights and statistics."""
    keras.utils.set_random_seed(0)
    spec = variant(SPECS["cifar_resnet20"], **TINY | axes)
    model = build(spec, input_shape=(32, 32, channels))
    random = np.random.RandomState(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights([random.uniform(0.5, 1.5, shape), *random.normal(0, 0.3, (2, *shape)),
                               random.uniform(0.2, 3, shape)])  # fmt: skip
    return model


def relative_error(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


IMAGES = np.random.RandomState(2).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)


@pytest.mark.sampled("pre")
@pytest.mark.parametrize("name", NETS)
def test_fold_keeps_outputs_and_removes_normalization(name):
    model = network(NETS[name])
    folded = fold(model)
    expected = model.predict(IMAGES, verbose=0)
    assert relative_error(folded.predict(IMAGES, verbose=0), expected) < 3e-6
    assert not [layer for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert not [layer for layer in folded.layers if isinstance(layer, keras.layers.Normalization)]


@pytest.mark.slow
def test_fold_is_exact_in_float64(float64):
    """The float32 difference is rounding: in float64 both agree to a relative error of 1e-13."""
    model = network(NETS["bottleneck 1.5"])
    images = IMAGES.astype(np.float64)
    assert relative_error(fold(model, "float64").predict(images, verbose=0), model.predict(images, verbose=0)) < 1e-13


def test_fold_leaves_multiplications_only_in_preactivation_networks():
    """Preactivation keeps a multiplication and an addition where a sum is normalized."""
    counts = {}
    for name in ("post", "pre"):
        operations = fold(network(NETS[name])).operations
        counts[name] = collections.Counter(type(operation).__name__ for operation in operations)
    assert counts["post"]["Multiply"] == 0
    assert counts["pre"]["Multiply"] == 2  # the second block's first normalization, and the last one
    assert counts["post"]["Subtract"] == counts["pre"]["Subtract"] == 1


def test_fold_keeps_the_output_of_a_convolution_with_other_readers():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    normalized = keras.layers.BatchNormalization(name="bn")(x)
    normalized = keras.layers.Activation("relu")(normalized)
    model = keras.Model(inputs, [x, normalized])
    model.get_layer("bn").set_weights([np.full(4, v) for v in (2.0, 1.0, 0.5, 3.0)])
    images = IMAGES[:, :8, :8]
    for actual, expected in zip(fold(model).predict(images, verbose=0), model.predict(images, verbose=0), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("frozen", "precision"), [(True, "float32"), (False, "float32"), (False, "bfloat16")])
def test_frozen_and_folded_networks_return_features_and_stages(frozen, precision):
    model = network({"se_reduction": 4, "shortcut": "B"})
    parts = answers(model, stages=True)
    expected = parts.predict(IMAGES, verbose=0)
    changed = plain_network(fold(parts, precision))
    if frozen:
        changed = frozen_network(changed, IMAGES.shape[1:])
    actual = changed(keras.ops.convert_to_tensor(IMAGES))
    assert set(actual) == {"logits", "features", "stage1", "stage2"}
    for name, value in actual.items():
        assert value.dtype == "float32"
        assert relative_error(value.numpy(), expected[name]) < {"float32": 3e-6, "bfloat16": 0.05}[precision], name
    if precision == "bfloat16":  # bfloat16 is really used
        assert relative_error(actual["logits"].numpy(), expected["logits"]) > 1e-5
