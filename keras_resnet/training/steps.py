"""Training and evaluation steps, distributed by a strategy, with rematerialization."""

import itertools
import re
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnet.data.pipeline import over_replicas
from keras_resnet.layers import kept_statistics
from keras_resnet.training.averages import share_over_replicas, statistics
from keras_resnet.training.sharpness import at_weights, moved_weights
from keras_resnet.training.strategy import compiles_by_default
from keras_resnet.very_deep import bound_graph_rewriting


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


def make_train_step(task, model, optimizer, strategy, jit_compile: bool | None = None) -> Callable:
    """Returns batch -> sums over the global batch {name: ()}, after one update of the weights.

    Args:
        task, model, optimizer, strategy: of the run.
        jit_compile: whether to compile gradients with XLA; default `train.jit_compile`.

    The sums include "steps", which is 1, and "gradient_norm" over all weights, so that these can be summed too.

    The loss is averaged over the global batch: each replica divides its sum by the global batch size, and the
    optimizer adds the replicas' gradients.
    """
    train = task.config.train
    batch_size, parts = train.batch_size, train.gradient_accumulation_steps
    if jit_compile is None:
        jit_compile = compiles_by_default(strategy) if train.jit_compile is None else train.jit_compile
    norm = getattr(optimizer, "inner_optimizer", optimizer).gradient_norm
    bound_graph_rewriting(model)
    moving = statistics(model) if strategy.num_replicas_in_sync > 1 else []
    forward = rematerialized(model) if train.remat else model

    def gradients(batch, weights=None):
        call = forward if weights is None else at_weights(model, weights)
        sources = [variable.value for variable in model.trainable_variables] if weights is None else weights

        def of_part(batch):
            with tf.GradientTape() as tape:
                tape.watch(weights or [])
                losses, sums = task.loss(call, batch)
                loss = tf.reduce_sum(losses) / batch_size
                scaled = optimizer.scale_loss(loss)
            return tape.gradient(scaled, sources), sums

        return of_part(batch) if parts == 1 else _accumulated(of_part, batch, parts)

    if jit_compile:  # excludes the optimizer, whose sum over the replicas does not compile
        gradients = tf.function(gradients, jit_compile=True, autograph=False)

    def replica_step(batch):
        values, sums = gradients(batch)
        if train.sam_rho:
            values, _ = gradients(batch, moved_weights(model, values, train.sam_rho))
        optimizer.apply_gradients(zip(values, model.trainable_variables, strict=True))
        if moving:
            share_over_replicas(moving)
        replicas = strategy.num_replicas_in_sync
        return sums | {"steps": tf.constant(1 / replicas), "gradient_norm": norm.value / replicas}

    return _distributed(replica_step, strategy)


def _accumulated(gradients, batch, parts):
    """Returns the sums of `gradients` over `parts` equal parts of a batch, computed one after the other."""

    def part(i):
        return tf.nest.map_structure(lambda x: tf.reshape(x, [parts, x.shape[0] // parts, *x.shape[1:]])[i], batch)

    def add_part(i, sums):
        return i + 1, tf.nest.map_structure(tf.add, sums, gradients(part(i)))

    return tf.while_loop(lambda i, _: i < parts, add_part, (1, gradients(part(0))), parallel_iterations=1)[1]


def make_eval_step(task, model, strategy) -> Callable:
    """Returns batch -> sums over the global batch {name: ()}, and tensors of all its images {name: (N, ...)}."""
    return _distributed(lambda batch: task.evaluate(model, batch), strategy)


def _distributed(replica_step, strategy):
    @tf.function(autograph=False)
    def step(batch):
        outputs = strategy.run(replica_step, args=(batch,))
        return {name: over_replicas(strategy, value) for name, value in outputs.items()}

    return step
