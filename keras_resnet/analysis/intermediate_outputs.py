"""Where a functional model can be read: layers with kernels, and what comes out of them."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import layers, ops


def require_flat(model: keras.Model) -> None:
    """Refuses a model in which another one is a layer: what is inside of it would be passed over.

    Raises:
        ValueError: names the inner model.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.weights:
            raise ValueError(f'{model.name}: its layer "{layer.name}" is a model; give model.get_layer("{layer.name}")')


def weighted_layers(model: keras.Model) -> list:
    """Every layer with a kernel (convolutions, projections and gates too; dense layers), in the graph's order.

    Raises:
        ValueError: there is none, or one is within a model that is a layer of this one.
    """
    require_flat(model)
    found = [layer for layer in model.layers if getattr(layer, "kernel", None) is not None]
    if not found:
        raise ValueError(f"{model.name}: no layer of it has a kernel")
    return found


def response_tensors(model: keras.Model, kernel: int | None = 3) -> dict:
    """{name of a convolution: its response}, in the graph's order.

    The response is what leaves the batch normalization that reads the convolution, before any non-linearity or
    addition; the convolution's own output, where none does. Highway's gates are no responses, nor are projections
    of shortcuts at `kernel` 3.

    Args:
        model: a functional model.
        kernel: side of the convolutions' kernels, None for any.

    Raises:
        ValueError: there is no such convolution, or one is within a model that is a layer of this one.
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
    """Yields the values of `tensors`, in their order, for `batch_size` images after the other."""
    if not len(images):
        raise ValueError("images: expected one or more, got none")
    tensors = list(tensors)
    tapped = keras.Model(
        model.inputs, {str(i): tensor for i, tensor in enumerate(tensors)}
    )  # a list of one would come as that one
    for start in range(0, len(images), batch_size):
        images_now = ops.convert_to_tensor(images[start : start + batch_size], "float32")
        outputs = tapped(images_now, training=training)
        yield [outputs[str(i)] for i in range(len(tensors))]


@contextlib.contextmanager
def unchanged(model: keras.Model):
    """In its scope a model may run in training mode; its moving averages and random states are then set back."""
    kept = [(variable, ops.convert_to_numpy(variable).copy()) for variable in model.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def channel_axis(layer) -> int:
    """Where the channels of a convolution's output are."""
    return 1 if layer.data_format == "channels_first" else -1


def table(**columns) -> np.ndarray:
    """Columns of equal length -> a structured array, which `pandas.DataFrame` takes as it is."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    rows = np.empty(len(next(iter(arrays.values()))), [(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        rows[name] = array
    return rows


def doubles(tensor) -> np.ndarray:
    """The tensor in float64, in which squares of what float32 holds do not overflow."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")), np.float64)


def rms(tensor) -> float:
    """Root mean square of all entries."""
    return float(np.sqrt(np.mean(doubles(tensor) ** 2)))
