"""Less memory for more computing: a training pass that keeps blocks' outputs and computes what lies between again.

Chen et al. 2016, "Training Deep Networks with Sublinear Memory Cost", with the paper's blocks as segments.
"""

import itertools
import re
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnet.layers import kept_statistics


def rematerialized(model: keras.Model) -> Callable:
    """Returns what can be called as model(images, training=True), with the same results, gradients and statistics.

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
    """(input, output) tensors of the stem with the first block, of every further block, and of the head."""
    ends = {}
    for layer in model.layers:
        match = re.match(r"stage\d+_block\d+", layer.name)
        if match:
            ends[match[0]] = layer.output  # the last layer of the block stays
    tensors = [model.input, *ends.values(), model.output]
    return itertools.pairwise(tensors)


def _segment(inputs, outputs):
    part = keras.Model(inputs, outputs)

    def call(x):
        recomputing = False

        def function(x):
            nonlocal recomputing  # the second call: the same batch must not move the averages twice
            with kept_statistics(recomputing):
                recomputing = True
                return part(x, training=True)

        return tf.recompute_grad(function)(x)

    return call
