"""How strong signals are in every layer: forward, activations; backward, gradients."""

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
        images: as the model takes them, one batch.
        training: normalize by the batch, as a training step does; the moving averages stay as they are.

    Returns:
        Fields "layer", "input" and "output": root mean square of what the layer reads (activations, sums of shortcuts)
        and of what its kernel makes of it, before any normalization. In the graph's order.
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
    """images (N, H, W, C), labels (N,) -> structured array (L,), the gradients at every layer with a kernel.

    TensorFlow only.

    Args:
        model: a functional model with one output.
        images: as the model takes them, one batch.
        labels: classes, or whatever `loss` takes.
        loss: (labels, outputs) -> (N,) or (), averaged over the batch; default the cross entropy of the model's layer
            "logits", where it has one, else of its outputs, taken as logits.
        training: normalize by the batch, as a training step does; the moving averages stay as they are.

    Returns:
        Fields "layer", "kernel" and "output": Euclidean norms of the loss's gradient by the layer's kernel, and by its
        output before any normalization (what reaches the layer from above). 0 where the loss does not depend on it.
        In the graph's order.

    Raises:
        ValueError: Keras runs on another backend.
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
        tape.watch(kernels)  # frozen ones too
        prediction, *outputs = tapped(ops.convert_to_tensor(images, "float32"), training=training)
        value = tf.reduce_mean(loss(labels, prediction))
    gradients = tape.gradient(value, kernels + outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    norms = np.array([np.linalg.norm(doubles(gradient)) for gradient in gradients]).reshape(2, -1)
    return table(layer=[layer.name for layer in layers], kernel=norms[0], output=norms[1])


def cross_entropy(labels, logits):
    """labels (N,), logits (N, classes) -> (N,)."""
    return keras.losses.sparse_categorical_crossentropy(ops.convert_to_tensor(labels), logits, from_logits=True)
