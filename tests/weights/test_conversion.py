"""Conversions of weights with results that can be computed by hand."""

import numpy as np
import pytest

from keras_resnet.weights.conversion import adapt_channels, fold_biases, fold_epsilon


def test_fold_biases_moves_biases_into_moving_means():
    arrays = {
        "stage1_block1_conv1/bias": np.float32([1.0]),
        "stage1_block1_bn1/moving_mean": np.float32([5.0]),
        "stage1_block1_proj/bias": np.float32([2.0]),
        "stage1_block1_proj_bn/moving_mean": np.float32([7.0]),
        "stage1_block1_conv3/bias": np.float32([3.0]),
        "logits/bias": np.float32([4.0]),
    }
    fold_biases(arrays)
    assert {path: float(value[0]) for path, value in arrays.items()} == {
        "stage1_block1_bn1/moving_mean": 4.0,  # (x + 1) - 5 is x - 4
        "stage1_block1_proj_bn/moving_mean": 5.0,
        "stage1_block1_conv3/bias": 3.0,  # no normalization behind it
        "logits/bias": 4.0,
    }


def test_fold_epsilon_moves_the_difference_into_the_variance():
    arrays = {"a_bn/moving_variance": np.float32([0.5]), "a_bn/moving_mean": np.float32([0.5])}
    fold_epsilon(arrays, 1e-3)
    assert arrays["a_bn/moving_variance"][0] == np.float32(0.5 + 1e-3 - 1e-5)
    assert arrays["a_bn/moving_mean"][0] == 0.5
    with pytest.raises(ValueError, match="a variance below 1e-05"):
        fold_epsilon({"a_bn/moving_variance": np.float32([1e-6])}, 0.0)


def test_adapt_channels_equals_timm():
    kernel = np.float32([1, 2, 4]).reshape(1, 1, 3, 1)
    assert adapt_channels(kernel, 1, "x").ravel().tolist() == [7]
    assert adapt_channels(kernel, 2, "x").ravel().tolist() == [1.5, 3]
    assert adapt_channels(kernel, 4, "x").ravel().tolist() == [0.75, 1.5, 3, 0.75]
    with pytest.raises(ValueError, match="takes 1 channels, which cannot become 3"):
        adapt_channels(kernel[:, :, :1], 3, "x")
