"""Provides the intermediate outputs of a functional model: layers with kernels, responses and their values."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import layers, ops


def require_flat(model: keras.Model) -> None:
    """Checks that a model is functional and that none of its layers is a model, whose inner layers would be missed.

    Raises:
        ValueError: the model is not functional, or a layer is a model; the message names it.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"expected a functional Keras model, got {type(model).__name__}")
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.weights:
            raise ValueError(f'{model.name}: its layer "{layer.name}" is a model; give model.get_layer("{layer.name}")')


def weighted_layers(model: keras.Model) -> list:
    """Returns all layers with a kernel (convolutions, also projections and gates; dense layers), in the graph's order.

    Raises:
        ValueError: no layer has a kernel, or a layer is itself a model.
    """
    require_flat(model)
    found = [layer for layer in model.layers if getattr(layer, "kernel", None) is not None]
    if not found:
        raise ValueError(f"{model.name}: no layer of it has a kernel")
    return found


def response_tensors(model: keras.Model, kernel: int | None = 3) -> dict:
    """Returns {name of a convolution: its response tensor}, in the graph's order.

    The response is the output of the batch normalization that follows the convolution, or the convolution's output if
    none follows, before any non-linearity or addition. Gates of highway networks are excluded, and so are projection
    shortcuts if `kernel` is 3.

    Args:
        model: a functional model.
        kernel: kernel size of the convolutions; None for any.

    Raises:
        ValueError: the model has no such convolution, or a layer is itself a model.
    """
    require_flat(model)
    norms = {id(layer.input): layer.output for layer in model.layers if isinstance(layer, layers.BatchNormalization)}
    found = {
        layer.name: norms.get(id(layer.output), layer.output)
        for layer in model.layers
        if isinstance(layer, layers.Conv2D)
        and (kernel is None or layer.kernel_size == (kernel, kernel))
        and layer.activation is keras.activations.linear
    }
    if not found:
        raise ValueError(f"{model.name}: no {kernel}x{kernel} convolution in it")
    return found


def batches(model: keras.Model, tensors, images, batch_size: int, training: bool) -> Iterator[list]:
    """Yields the values of `tensors`, in their order, for each batch of `batch_size` images."""
    if not len(images):
        raise ValueError("images: expected one or more, got none")
    tensors = list(tensors)
    tapped = keras.Model(
        model.inputs, {str(i): tensor for i, tensor in enumerate(tensors)}
    )  # a dict, since Keras unpacks a list of one output
    for start in range(0, len(images), batch_size):
        images_now = ops.convert_to_tensor(images[start : start + batch_size], "float32")
        outputs = tapped(images_now, training=training)
        yield [outputs[str(i)] for i in range(len(tensors))]


@contextlib.contextmanager
def unchanged(model: keras.Model):
    """Restores a model's moving statistics and random states at exit, so the model can run in training mode inside."""
    kept = [(variable, ops.convert_to_numpy(variable).copy()) for variable in model.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def channel_axis(layer) -> int:
    """Returns the channel axis of a convolution's output."""
    return 1 if layer.data_format == "channels_first" else -1


def table(**columns) -> np.ndarray:
    """Returns columns of equal length as a structured array, which `pandas.DataFrame` accepts."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    rows = np.empty(len(next(iter(arrays.values()))), [(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        rows[name] = array
    return rows


def doubles(tensor) -> np.ndarray:
    """Converts a tensor to float64, in which squares of float32 values do not overflow."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")), np.float64)


def rms(tensor) -> float:
    """Returns the root mean square of all elements."""
    return float(np.sqrt(np.mean(doubles(tensor) ** 2)))
