"""Converts a network to one TensorFlow function: unchanged, folded, or folded and frozen."""

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keras_resnet.export.folding import fold
from keras_resnet.export.quiet import quiet

POOL = "pool"  # the layer whose output is the vector of features


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
    """Returns a function images (N, H, W, C) -> answers, float32, with layers and variables unchanged."""

    def network(images):
        outputs = model(images, training=False)
        return {name: tf.cast(value, tf.float32) for name, value in outputs.items()}

    return network


def folded_network(model: keras.Model, precision: str = "float32") -> Callable:
    """Returns the function with normalization folded into the convolutions; the weights are variables.

    A server holds variables once for all functions that call it, but constants once for each signature.

    Args:
        model: images -> answers, see `answers`.
        precision: "float32" or "bfloat16", see `fold`.
    """
    return plain_network(fold(model, precision))


def frozen_network(model: keras.Model) -> Callable:
    """Returns the folded function with all weights as constants of the graph, for converters to other formats.

    Args:
        model: images -> answers, see `answers`.
    """
    images = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32, name="images")
    function = tf.function(folded_network(model), autograph=False).get_concrete_function(images)
    with quiet():  # TensorFlow logs the sessions that it starts
        frozen = convert_variables_to_constants_v2(function)
    names = sorted(function.structured_outputs)  # the order in which TensorFlow flattens a dictionary

    def network(images):
        return dict(zip(names, frozen(images), strict=True))

    return network
