"""Measures the effect of batch normalization on a batch (Ioffe and Szegedy 2015)."""

import contextlib

import keras
import numpy as np
from keras import layers, ops

from keras_resnet.analysis.intermediate_outputs import (
    batches,
    channel_axis,
    doubles,
    response_tensors,
    table,
    unchanged,
)


def batch_norm_statistics(model: keras.Model, images, *, training: bool = True) -> np.ndarray:
    """images (N, H, W, C) -> structured array, one row per channel of every batch normalization layer.

    Args:
        model: a functional model.
        images: one batch of model inputs.
        training: True normalizes with the batch, which gives mean 0 and variance v / (v + epsilon). False normalizes
            with the moving statistics.

    Returns:
        Fields "layer", "channel", "input_mean", "input_variance", and "mean", "variance" of the output before scale and
        shift: (output - beta) / gamma; NaN where gamma is 0. "expected_variance" is v / (v + epsilon). Variances are
        population variances over images and positions.

    Raises:
        ValueError: the model has no batch normalization.
    """
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    if not norms:
        raise ValueError(f"{model.name}: has no batch normalization")
    tensors = [tensor for layer in norms for tensor in (layer.input, layer.output)]
    with unchanged(model) if training else contextlib.nullcontext():
        (values,) = batches(model, tensors, images, len(images), training)
    rows = [_channels(layer, *pair) for layer, *pair in zip(norms, values[::2], values[1::2], strict=True)]
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return table(**columns)


def _channels(layer, inputs, outputs):
    inputs, outputs = (_by_channel(value, layer.axis) for value in (inputs, outputs))
    gamma = doubles(layer.gamma) if layer.scale else np.ones(inputs.shape[1])
    beta = doubles(layer.beta) if layer.center else np.zeros(inputs.shape[1])
    variance = inputs.var(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized = np.where(gamma, (outputs - beta) / gamma, np.nan)
    return {
        "layer": np.repeat(layer.name, inputs.shape[1]),
        "channel": np.arange(inputs.shape[1]),
        "input_mean": inputs.mean(0),
        "input_variance": variance,
        "mean": normalized.mean(0),
        "variance": normalized.var(0),
        "expected_variance": variance / (variance + layer.epsilon),
    }


def preactivation_percentiles(
    model: keras.Model, images, *, percentiles=(15, 50, 85), kernel: int | None = 3, training: bool = True
) -> dict[str, np.ndarray]:
    """images (N, H, W, C) -> {layer: (C, P)}, percentiles of each channel's preactivation.

    Repeated measurements during training show how the inputs of a layer's units drift. The default percentiles are
    those of Ioffe and Szegedy 2015, figure 1 b and c.

    Args:
        model: a functional model.
        images: one batch of model inputs.
        percentiles: in [0, 100].
        kernel: kernel size of the measured convolutions; None: all. `keras_resnet.layer_responses` defines responses.
        training: normalize with the batch, as a training step does; the moving statistics do not change.
    """
    tensors = response_tensors(model, kernel)
    with unchanged(model) if training else contextlib.nullcontext():
        (values,) = batches(model, tensors.values(), images, len(images), training)
    return {
        name: np.percentile(_by_channel(value, channel_axis(model.get_layer(name))), percentiles, axis=0).T
        for name, value in zip(tensors, values, strict=True)
    }


def _by_channel(tensor, axis):
    """(N, H, W, C) -> (N H W, C) in float64."""
    values = np.moveaxis(doubles(ops.convert_to_tensor(tensor)), axis, -1)
    return values.reshape(-1, values.shape[-1])
