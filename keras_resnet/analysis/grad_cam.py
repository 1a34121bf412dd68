"""Where in an image a network sees a class: Grad-CAM (Selvaraju et al. 2017)."""

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.analysis.taps import channel_axis


def grad_cam(model: keras.Model, images, classes=None, layer: str | None = None) -> np.ndarray:
    """images (N, H, W, C) -> heat maps (N, h, w) float32, at least 0, in the layer's resolution.

    L = ReLU(sum over k of a_k A_k), where A_k is the k-th feature map of a layer and a_k the average over its places
    of the logit's derivative (Selvaraju et al. 2017, equations 1 and 2). At the last feature map of these networks,
    which average it and end with one dense layer, that is the class activation map of Zhou et al. 2016 over h w.

    Args:
        model: a network of this package with its head, or any Keras model with a layer "logits".
        images: as the model takes them.
        classes: (N,) whose logit is looked at; default each image's best.
        layer: whose output (N, h, w, K) is looked at, such as "stage3_block6_add"; default what the head averages.

    Raises:
        ValueError: the model has no logits, or no such layer, or its output is no feature map.
    """
    features, logits = _outputs(model, layer)
    images = tf.convert_to_tensor(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)  # else nothing is recorded where all weights are frozen
        maps, scores = keras.Model(model.inputs, [features, logits])(images, training=False)
        chosen = tf.argmax(scores, -1) if classes is None else tf.convert_to_tensor(classes, tf.int64)
        of_class = tf.gather(scores, chosen, batch_dims=1)
    derivatives = tape.gradient(of_class, maps)
    channels = _channel_axis(model)
    places = (2, 3) if channels == 1 else (1, 2)
    weights = tf.reduce_mean(tf.cast(derivatives, tf.float32), places, keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), channels)).numpy()


def _outputs(model, layer):
    """The tensors of the feature maps and of the logits."""
    try:
        logits = model.get_layer("logits").output
    except ValueError:
        raise ValueError(f"{model.name}: has no layer logits; Grad-CAM needs a network with its head") from None
    try:
        features = model.get_layer(layer).output if layer else model.get_layer("pool").input
    except ValueError:
        asked = layer or "pool"
        raise ValueError(f'layer: {model.name} has no layer "{asked}"; model.summary() shows them') from None
    if len(features.shape) != 4:
        raise ValueError(f'layer: "{layer}" gives {features.shape}; expected feature maps (N, h, w, K)')
    return features, logits


def _channel_axis(model):
    """Of its convolutions, which may differ from Keras's setting of now."""
    return next((channel_axis(layer) for layer in model.layers if isinstance(layer, keras.layers.Conv2D)), -1)
