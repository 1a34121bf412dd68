"""Provides what sharpness-aware minimization adds to a step (SAM, Foret et al. 2021)."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnet.layers import kept_statistics


def moved_weights(model: keras.Model, gradients: list, distance: float) -> list:
    """Returns the trainable weights, moved by `distance` in the direction of the gradient of the global batch.

    Args:
        model: the network.
        gradients: this replica's part of the gradient, whose sum over the replicas counts; every replica must call it.
        distance: rho of the paper, the norm of the movement over all weights.
    """
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    scale = distance / tf.maximum(tf.linalg.global_norm(total), 1e-12)
    return [
        variable.value + scale * gradient for variable, gradient in zip(model.trainable_variables, total, strict=True)
    ]


def at_weights(model: keras.Model, weights: list) -> Callable:
    """Returns a function that is called as model(images, training=True), with other trainable weights.

    It changes neither moving statistics nor other state.
    """

    def call(images, training=True):
        others = [variable.value for variable in model.non_trainable_variables]
        with kept_statistics():
            return model.stateless_call(weights, others, images, training=training)[0]

    return call
