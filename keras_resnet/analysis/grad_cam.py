"""Where in an image a network sees a class: Grad-CAM (Selvaraju et al. 2017)."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_resnet.analysis.intermediate_outputs import channel_axis


def grad_cam(model: keras.Model, images, classes=None, layer: str | None = None) -> np.ndarray:
    """images (N, H, W, C) -> heat maps (N, h, w) float32, at least 0, in the layer's resolution.

    L = ReLU(sum over k of a_k A_k), where A_k is the k-th feature map of a layer and a_k the average over its places
    of the logit's derivative (Selvaraju et al. 2017, equations 1 and 2). At the last feature map of these networks,
    which average it and end with one dense layer, that is the class activation map of Zhou et al. 2016 over h w.

    Args:
        model: any functional or sequential Keras classifier, with layers of its own or with models as layers. A softmax
            at its end is left out: logits are what is differentiated.
        images: as the model takes them.
        classes: (N,) whose logit is looked at; default each image's best.
        layer: whose output (N, h, w, K) is looked at, such as "stage3_block6_add", also within an inner model; default
            the last feature map.

    Raises:
        ValueError: the model does not end with one score per class, or no layer of that name has feature maps.
    """
    calls = _calls(model)
    head = _head(model, calls)
    features = _features(model, calls[: calls.index(head)], layer)
    dense = head.layer if _is_activated(head.layer) else None  # whose logits are no tensor of the graph
    outputs = [features.output, head.inputs if dense else head.output]
    images = tf.convert_to_tensor(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)  # else nothing is recorded where all weights are frozen
        maps, scores = keras.Model(calls[0].output, outputs)(images, training=False)
        if dense:
            scores = tf.matmul(scores, dense.kernel) + (dense.bias if dense.use_bias else 0.0)
        chosen = tf.argmax(scores, -1) if classes is None else tf.convert_to_tensor(classes, tf.int64)
        of_class = tf.gather(scores, chosen, batch_dims=1)
    derivatives = tape.gradient(of_class, maps)
    channels = _channel_axis(calls)
    places = (2, 3) if channels == 1 else (1, 2)
    weights = tf.reduce_mean(tf.cast(derivatives, tf.float32), places, keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), channels)).numpy()


class _Call(NamedTuple):
    """A layer and its Keras tensors; the inputs are None for the model's own."""

    layer: Any
    inputs: Any
    output: Any


def _calls(model):
    """What a model computes, in order, with inner models opened: the first entry is its input."""
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
    """The call that returns the logits, or activates them itself."""
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
    """The named call, or the last one whose output is a feature map."""
    found = [call for call in calls[1:] if (call.layer.name == name if name else len(call.output.shape) == 4)]
    if not found:
        missing = f'has no layer "{name}" before its head' if name else "has no feature maps (N, h, w, K)"
        raise ValueError(f"layer: {model.name} {missing}; model.summary() shows its layers")
    if len(found[-1].output.shape) != 4:
        raise ValueError(f'layer: "{name}" gives {found[-1].output.shape}; expected feature maps (N, h, w, K)')
    return found[-1]


def _channel_axis(calls):
    """Of the convolutions, which may differ from Keras's setting of now."""
    return next((channel_axis(call.layer) for call in calls[1:] if isinstance(call.layer, layers.Conv2D)), -1)
