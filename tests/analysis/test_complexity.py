"""Tests complexity on small networks counted by hand; test_builder.py has the published counts."""

import keras
import pytest

from keras_resnet import complexity


def test_complexity_conv_and_dense_by_hand():
    """The convolution (3x3, 2 -> 4, on 5x5) has 5*5*4 outputs of 9*2 products; the dense layer has 3 * (100 + 1)."""
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


def test_complexity_groups_and_pooling():
    model = keras.Sequential(
        [keras.Input((4, 4, 4)), keras.layers.Conv2D(8, 1, groups=2, use_bias=False), keras.layers.MaxPooling2D(2)]
    )
    cost = complexity(model)
    assert cost.macs == 4 * 4 * 8 * 2
    assert cost.activations == 4 * 4 * 8 + 2 * 2 * 8


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(("model", "kind"), [(Subclassed(), "Subclassed"), ("resnet50", "str")])
def test_complexity_refuses_other_than_functional_models(model, kind):
    with pytest.raises(ValueError, match=rf"^expected a functional Keras model, got {kind}$"):
        complexity(model)


def test_complexity_unknown_image_size_names_layer():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1, name="first")])
    with pytest.raises(ValueError, match=r"first: the output .* is unknown"):
        complexity(model)
