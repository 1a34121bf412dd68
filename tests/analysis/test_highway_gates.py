"""Tests highway gates with known values: constant gates, which have only biases, and one that depends on the image."""

import keras
import numpy as np
import pytest

from keras_resnet import CIFARHighwayNet, CIFARResNet
from keras_resnet.analysis.highway_gates import highway_gates


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).uniform(0, 255, (6, 8, 8, 3)).astype(np.float32)


def test_highway_gates_constant_gates_by_hand(images):
    """Gates are sigmoid(0) = 0.5; in one block half of the channels are sigmoid(-3), closed, half sigmoid(3), open."""
    model = CIFARHighwayNet(20, input_shape=(8, 8, 3))
    for layer in model.layers:
        if layer.name.endswith("_gate"):
            kernel, bias = layer.get_weights()
            layer.set_weights([0 * kernel, 0 * bias])
    half = model.get_layer("stage2_block2_gate")
    bias = np.where(np.arange(32) < 16, -3.0, 3.0)
    half.set_weights([half.get_weights()[0], bias])
    rows = {row["block"]: row for row in highway_gates(model, images)}
    assert list(rows) == [f"stage{i}_block{j}" for i in (1, 2, 3) for j in (1, 2, 3)]
    assert rows["stage1_block1"]["mean"] == rows["stage3_block3"]["p95"] == 0.5
    assert rows["stage1_block1"]["closed"] == rows["stage1_block1"]["over_gates"] == 0
    row = rows["stage2_block2"]
    assert (row["closed"], row["open"]) == (0.5, 0.5)
    assert row["over_images"] == 0
    closed = 1 / (1 + np.exp(3))
    assert row["p5"] == pytest.approx(closed, rel=1e-5)
    assert row["over_gates"] == pytest.approx(0.5 - closed, rel=1e-5)


def test_highway_gates_image_dependent_gate_by_hand():
    """One channel reads the pixel: sigmoid(0) on half of the images, sigmoid(3) on the rest; the other is 0.5."""
    inputs = keras.Input((2, 2, 1))
    outputs = keras.layers.Conv2D(2, 1, activation="sigmoid", use_bias=False, name="only_gate")(inputs)
    model = keras.Model(inputs, outputs)
    model.get_layer("only_gate").set_weights([np.array([3.0, 0.0]).reshape(1, 1, 1, 2)])
    images = np.zeros((4, 2, 2, 1), np.float32)
    images[2:] = 1
    (row,) = highway_gates(model, images)
    low, high = 0.5, 1 / (1 + np.exp(-3))
    reads = (low + high) / 2
    assert row["mean"] == pytest.approx((reads + 0.5) / 2, rel=1e-5)
    assert row["over_images"] == pytest.approx((high - low) / 2 / np.sqrt(2), rel=1e-5)
    assert row["over_gates"] == pytest.approx((reads - 0.5) / 2, rel=1e-5)
    assert row["open"] == 0.25


def test_highway_gates_network_without_gates_raises(images):
    with pytest.raises(ValueError, match=r"cifar_resnet20: has no gates"):
        highway_gates(CIFARResNet(20), images)
