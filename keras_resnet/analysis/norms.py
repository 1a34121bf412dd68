"""Measures the strength of the signals in every layer: activations (forward) and gradients (backward)."""

import contextlib
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_resnet.analysis.intermediate_outputs import batches, doubles, rms, table, unchanged, weighted_layers


def activation_norms(model: keras.Model, images, *, training: bool = True) -> np.ndarray:
    """images (N, H, W, C) -> structured array (L,), the strength of the signal at every layer with a kernel.

    Args:
        model: a functional model.
        images: one batch of model inputs.
        training: normalize with the batch, as a training step does; the moving statistics do not change.

    Returns:
        Fields "layer", "input" and "output": root mean square of the layer's input (activations, sums of shortcuts) and
        of its output before any normalization. Rows are in the graph's order.
    """
    layers = weighted_layers(model)
    tensors = [tensor for layer in layers for tensor in (layer.input, layer.output)]
    with unchanged(model) if training else contextlib.nullcontext():
        (values,) = batches(model, tensors, images, len(images), training)
    norms = np.array([rms(value) for value in values]).reshape(-1, 2)
    return table(layer=[layer.name for layer in layers], input=norms[:, 0], output=norms[:, 1])


def gradient_norms(
    model: keras.Model, images, labels, *, loss: Callable | None = None, training: bool = True
) -> np.ndarray:
    """images (N, H, W, C), labels (N,) -> structured array (L,), the gradient norms of every layer with a kernel.

    This function requires the TensorFlow backend.

    Args:
        model: a functional model with one output.
        images: one batch of model inputs.
        labels: classes, or the labels that `loss` expects.
        loss: (labels, outputs) -> (N,) or (), averaged over the batch. The default is the cross entropy of the layer
            "logits" or, without such a layer, of the model's outputs, interpreted as logits.
        training: normalize with the batch, as a training step does; the moving statistics do not change.

    Returns:
        Fields "layer", "kernel" and "output": Euclidean norms of the loss's gradient with respect to the layer's kernel
        and to its output before any normalization (the backward signal that reaches the layer). A norm is 0 if the loss
        does not depend on the tensor. Rows are in the graph's order.

    Raises:
        ValueError: Keras uses another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"gradient_norms needs KERAS_BACKEND=tensorflow, got {keras.backend.backend()}")
    import tensorflow as tf

    layers = weighted_layers(model)
    result = next((each.output for each in layers if each.name == "logits" and not loss), model.outputs[0])
    loss = loss or cross_entropy
    tapped = keras.Model(model.inputs, [result, *(layer.output for layer in layers)])
    kernels = [layer.kernel.value for layer in layers]
    with unchanged(model), tf.GradientTape() as tape:
        tape.watch(kernels)  # includes frozen kernels
        prediction, *outputs = tapped(ops.convert_to_tensor(images, "float32"), training=training)
        value = tf.reduce_mean(loss(labels, prediction))
    gradients = tape.gradient(value, kernels + outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    norms = np.array([np.linalg.norm(doubles(gradient)) for gradient in gradients]).reshape(2, -1)
    return table(layer=[layer.name for layer in layers], kernel=norms[0], output=norms[1])


def cross_entropy(labels, logits):
    """labels (N,), logits (N, classes) -> (N,)."""
    return keras.losses.sparse_categorical_crossentropy(ops.convert_to_tensor(labels), logits, from_logits=True)
