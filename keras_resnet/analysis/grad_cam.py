"""Computes Grad-CAM heat maps of the image regions that raise a class's logit (Selvaraju et al. 2017)."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_resnet.analysis.intermediate_outputs import channel_axis


def grad_cam(model: keras.Model, images, classes=None, layer: str | None = None) -> np.ndarray:
    """images (N, H, W, C) -> non-negative heat maps (N, h, w) float32 at the layer's resolution.

    L = ReLU(sum over k of a_k A_k), where A_k is the k-th feature map of a layer and a_k is the mean over its positions
    of the logit's derivative (Selvaraju et al. 2017, equations 1 and 2). These networks end with average pooling and
    one dense layer, so at the last feature map L is the ReLU of the class activation map of Zhou et al. 2016, divided
    by h w.

    Args:
        model: any functional or sequential Keras classifier; its layers may be models. A final softmax is skipped,
            since logits are differentiated.
        images: model inputs.
        classes: (N,), the classes whose logits are differentiated; default each image's top class.
        layer: name of the layer whose output (N, h, w, K) is used, such as "stage3_block6_add", also within an inner
            model; default the last feature map.

    Raises:
        ValueError: the model does not end with one score per class, no layer of that name has feature maps, or
            `classes` is not one class of the model per image.
    """
    calls = _calls(model)
    head = _head(model, calls)
    features = _features(model, calls[: calls.index(head)], layer)
    dense = head.layer if _is_activated(head.layer) else None  # its logits are not a tensor of the graph
    outputs = [features.output, head.inputs if dense else head.output]
    images = tf.convert_to_tensor(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)  # required if all weights are frozen: the tape then records nothing else
        maps, scores = keras.Model(calls[0].output, outputs)(images, training=False)
        if dense:
            scores = tf.matmul(scores, dense.kernel) + (dense.bias if dense.use_bias else 0.0)
        chosen = tf.argmax(scores, -1) if classes is None else _checked(classes, *scores.shape)
        of_class = tf.gather(scores, chosen, batch_dims=1)
    derivatives = tape.gradient(of_class, maps)
    channels = _channel_axis(calls)
    places = (2, 3) if channels == 1 else (1, 2)
    weights = tf.reduce_mean(tf.cast(derivatives, tf.float32), places, keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), channels)).numpy()


def _checked(classes, images, number):
    """Returns the classes (N,) of the images, if the model has them."""
    chosen = np.asarray(classes)
    whole = np.issubdtype(chosen.dtype, np.integer)
    if not whole or chosen.shape != (images,) or chosen.min() < 0 or chosen.max() >= number:
        raise ValueError(f"classes: got {classes!r}, expected {images} whole numbers from 0 to {number - 1}")
    return tf.convert_to_tensor(chosen, tf.int64)


class _Call(NamedTuple):
    """A layer and its Keras tensors; layer and inputs are None for the model's input."""

    layer: Any
    inputs: Any
    output: Any


def _calls(model):
    """Returns the layer calls of a model in order, with inner models expanded; the first entry is the model's input."""
    calls: list[_Call] = []

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras.Model):
            return opened(layer, args[0])
        output = layer(*args, **kwargs)
        calls.append(_Call(layer, args[0], output))
        return output

    def opened(inner, inputs):
        if isinstance(inner, keras.Sequential):
            inner = keras.Model(inner.inputs[0], inner.outputs[0])
        inputs = keras.tree.pack_sequence_as(inner.input, keras.tree.flatten(inputs))
        # The same layers on new tensors: an inner model's own tensors belong to another graph.
        return keras.models.clone_model(
            inner, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
        ).output

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(f"{model.name}: Grad-CAM needs one input and one output")
    images = keras.Input(batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype)
    calls.append(_Call(None, None, images))
    opened(model, images)
    return calls


def _head(model, calls):
    """Returns the call of the layer that computes the logits, with or without a fused activation."""
    for call in reversed(calls[1:]):
        if not isinstance(call.layer, (layers.Activation, layers.Softmax)):
            break
    if len(call.output.shape) != 2 or (_is_activated(call.layer) and not isinstance(call.layer, layers.Dense)):
        raise ValueError(
            f"{model.name}: returns {call.output.shape}; Grad-CAM needs a network with its head: one score per class"
        )
    return call


def _is_activated(layer):
    return getattr(layer, "activation", None) not in (None, keras.activations.linear)


def _features(model, calls, name):
    """Returns the named call, or the last one whose output is a feature map."""
    found = [call for call in calls[1:] if (call.layer.name == name if name else len(call.output.shape) == 4)]
    if not found:
        missing = f'has no layer "{name}" before its head' if name else "has no feature maps (N, h, w, K)"
        raise ValueError(f"layer: {model.name} {missing}; model.summary() shows its layers")
    if len(found[-1].output.shape) != 4:
        raise ValueError(f'layer: "{name}" gives {found[-1].output.shape}; expected feature maps (N, h, w, K)')
    return found[-1]


def _channel_axis(calls):
    """Returns the channel axis of the convolutions, which may differ from Keras's current image data format."""
    return next((channel_axis(call.layer) for call in calls[1:] if isinstance(call.layer, layers.Conv2D)), -1)
