"""Counted by hand on networks of a layer or two; the published counts are in test_builder.py."""

import keras
import pytest

from keras_resnet import complexity


def test_by_hand():
    """3x3, 2 -> 4 on 5x5: 5*5*4 outputs of 9*2 products; 100 -> 3 with bias: 3 * (100 + 1)."""
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            keras.layers.Conv2D(4, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    cost = complexity(model)
    assert cost.macs == 100 * 18 + 3 * 101
    assert cost.parameters == 72 + 8 + 303
    assert cost.activations == 100 + 3


def test_groups_and_pooling():
    model = keras.Sequential(
        [keras.Input((4, 4, 4)), keras.layers.Conv2D(8, 1, groups=2, use_bias=False), keras.layers.MaxPooling2D(2)]
    )
    cost = complexity(model)
    assert cost.macs == 4 * 4 * 8 * 2
    assert cost.activations == 4 * 4 * 8 + 2 * 2 * 8


def test_unknown_size_is_named():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1, name="first")])
    with pytest.raises(ValueError, match=r"first: the output .* is unknown"):
        complexity(model)
