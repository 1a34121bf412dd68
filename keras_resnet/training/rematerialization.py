"""Rematerialization: saves memory by keeping only block outputs and recomputing other activations in the backward pass.

Chen et al. 2016, "Training Deep Networks with Sublinear Memory Cost", with the paper's blocks as segments.
"""

import itertools
import re
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnet.layers import kept_statistics


def rematerialized(model: keras.Model) -> Callable:
    """Returns a function that is called as model(images, training=True), with equal outputs, gradients and statistics.

    Args:
        model: a network of this package, whose layers are named "stage1_block1_...".
    """
    segments = [_segment(inputs, outputs) for inputs, outputs in _boundaries(model)]

    def call(images, training=True):
        if not training:
            return model(images, training=False)
        x = images
        for segment in segments:
            x = segment(x)
        return x

    return call


def _boundaries(model):
    """Returns (input, output) tensors of the stem with the first block, of each other block, and of the head."""
    ends = {}
    for layer in model.layers:
        match = re.match(r"stage\d+_block\d+", layer.name)
        if match:
            ends[match[0]] = layer.output  # the last layer of the block overwrites the others
    tensors = [model.input, *ends.values(), model.output]
    return itertools.pairwise(tensors)


def _segment(inputs, outputs):
    part = keras.Model(inputs, outputs)

    def call(x):
        recomputing = False

        def function(x):
            nonlocal recomputing  # the second call must not update the moving statistics again
            with kept_statistics(recomputing):
                recomputing = True
                return part(x, training=True)

        return tf.recompute_grad(function)(x)

    return call
