"""Converts a network to one TensorFlow function: unchanged, with batch normalization folded, or folded and frozen."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_resnet.console import quiet

_BN = layers.BatchNormalization
POOL = "pool"  # the layer whose output is the vector of features


@dataclass(frozen=True)
class _Affine:
    """x -> x * scale + offset, per channel, float64: batch normalization at inference."""

    scale: np.ndarray
    offset: np.ndarray


def fold(model: keras.Model, precision: str = "float32") -> keras.Model:
    """Returns a model with the same inputs, outputs and, except for rounding, results; for inference only.

    | layer | becomes |
    |---|---|
    | batch normalization that is a convolution's only reader | part of its kernel and bias |
    | any other batch normalization | one multiplication and one addition |
    | preprocessing that a convolution reads | a subtraction; the division goes into the kernel, and zeros that \
pad the image stay zeros |
    | dropout | nothing |

    Args:
        model: images (N, H, W, C), channels last, float32, whose layers are each called once.
        precision: "float32", or "bfloat16" for weights and outputs of all layers between preprocessing and pooling.
    """
    readers = _readers(model)
    folded = {name: conv for name, conv in _single_reader(model, readers) if isinstance(model.get_layer(name), _BN)}
    before = _scaled_input(model, readers)
    convs: dict[str, list] = {}
    for name, conv in folded.items():
        convs.setdefault(conv, []).append(_of_normalization(model.get_layer(name)))
    kernels = {}

    def clone(layer):
        config = layer.get_config()
        if precision != "float32" and not _keeps_float32(layer):
            config["dtype"] = precision
        if layer.name in convs or layer.name == before:
            config["use_bias"] = True
            kernels[layer.name] = _folded_weights(
                layer, convs.get(layer.name), _of_preprocessing(model, before == layer.name)
            )
        return type(layer).from_config(config)

    def call(layer, x, *args, **kwargs):
        if layer.name in folded or isinstance(layer, layers.Dropout):
            return x
        if isinstance(layer, _BN):
            return _apply(_of_normalization(model.get_layer(layer.name)), x)
        if isinstance(layer, layers.Normalization) and before:
            return ops.subtract(x, _of_preprocessing(model, True)[0].astype(np.float32))
        return layer(x, *args, **kwargs)

    smaller = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in smaller.layers:
        if layer.weights:
            layer.set_weights(kernels.get(layer.name) or model.get_layer(layer.name).get_weights())
    return smaller


def _readers(model):
    """Returns {id of a tensor: names of the layers that read it}; the model's outputs have the reader ""."""
    readers: dict[int, list[str]] = {}
    for layer in model.layers:
        if not isinstance(layer, layers.InputLayer):
            for tensor in keras.tree.flatten(layer.input):
                readers.setdefault(id(tensor), []).append(layer.name)
    for tensor in model.outputs:
        readers.setdefault(id(tensor), []).append("")
    return readers


def _single_reader(model, readers):
    """Yields (only reader of a convolution without activation, the convolution)."""
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D) and layer.activation is keras.activations.linear:
            names = readers.get(id(layer.output), [])
            if len(names) == 1 and names[0]:
                yield names[0], layer.name


def _scaled_input(model, readers):
    """Returns the convolution that is the only reader of the preprocessed, perhaps zero-padded images, or None."""
    found = next((layer for layer in model.layers if isinstance(layer, layers.Normalization)), None)
    while found is not None:
        names = readers.get(id(found.output), [])
        found = model.get_layer(names[0]) if len(names) == 1 and names[0] else None
        if isinstance(found, layers.Conv2D):
            return found.name
        if not isinstance(found, layers.ZeroPadding2D):
            return None
    return None


def _of_normalization(layer):
    mean, variance = (np.asarray(v, np.float64) for v in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, np.float64)
    offset = -mean * scale
    return _Affine(scale, offset + np.asarray(layer.beta, np.float64) if layer.center else offset)


def _of_preprocessing(model, wanted):
    """Returns (mean, standard deviation) per channel, float64, of the `Normalization` layer."""
    if not wanted:
        return None
    layer = next(layer for layer in model.layers if isinstance(layer, layers.Normalization))
    mean, variance = (np.asarray(v, np.float64).reshape(-1) for v in (layer.mean, layer.variance))
    return mean, np.maximum(np.sqrt(variance), keras.backend.epsilon())


def _folded_weights(layer, affines, preprocessing):
    kernel, *bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    offset = bias[0] if bias else np.zeros(kernel.shape[-1])
    if preprocessing:
        kernel = kernel / preprocessing[1][:, None]
    for affine in affines or ():
        kernel, offset = kernel * affine.scale, offset * affine.scale + affine.offset
    return [kernel, offset]


def _apply(affine, x):
    scale, offset = (
        ops.cast(ops.convert_to_tensor(v.astype(np.float32)), x.dtype) for v in (affine.scale, affine.offset)
    )
    return ops.add(ops.multiply(x, scale), offset)


def _keeps_float32(layer):
    """Returns whether a layer stays float32: preprocessing, whose pixels need more digits, or the cheap head."""
    head = (layers.Normalization, layers.GlobalAveragePooling2D, layers.Dense, layers.InputLayer)
    return isinstance(layer, head) and not getattr(layer, "keepdims", False)


def answers(model: keras.Model, stages: bool = False) -> keras.Model:
    """images -> {"logits", "features"}, and {"stage1", ...} on request.

    Args:
        model: images (N, H, W, C) -> logits (N, classes), as `keras_resnet.build` makes it.
        stages: also return the output of each stage.
    """
    outputs = {"logits": model.output, "features": model.get_layer(POOL).output}
    if stages:
        for layer in model.layers:  # in order, so that a stage's last layer remains
            if layer.name.startswith("stage"):
                outputs[layer.name.split("_")[0]] = layer.output
    return keras.Model(model.inputs, outputs, name=model.name)


def plain_network(model: keras.Model) -> Callable:
    """Returns a function images (N, H, W, C) -> answers, float32; the weights are variables.

    A server holds variables once for all functions that call it, but constants once for each signature.

    Args:
        model: images -> {name: output}, such as `answers`, as it is or folded by `fold`.
    """

    def network(images):
        outputs = model(images, training=False)
        return {name: tf.cast(value, tf.float32) for name, value in outputs.items()}

    return network


def frozen_network(network: Callable, image_shape: tuple[int, int, int], batch: int | None = None) -> Callable:
    """Returns a function with all weights as constants of the graph, for converters to other formats.

    Args:
        network: images (N, *image_shape) -> {name: (N, ...)}, such as a `plain_network`.
        image_shape: (H, W, C) of the images.
        batch: the only N that the function takes; None for any.
    """
    images = tf.TensorSpec([batch, *image_shape], tf.float32, name="images")
    function = tf.function(network, autograph=False).get_concrete_function(images)
    with quiet():  # TensorFlow logs the sessions that it starts
        frozen = convert_variables_to_constants_v2(function)
    names = sorted(function.structured_outputs)  # the order in which TensorFlow flattens a dictionary

    def constant_network(images):
        return dict(zip(names, frozen(images), strict=True))

    return constant_network
