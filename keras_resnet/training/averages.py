"""Averages of weights over steps, and of batch normalization's moving statistics over replicas and training batches."""

import contextlib
import itertools

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.data.pipeline import training_batches
from keras_resnet.layers import flat_layers


def statistics(model: keras.Model) -> list:
    """Returns the moving means and variances that training updates."""
    return [variable for layer in _averaging(model) for variable in (layer.moving_mean, layer.moving_variance)]


def _averaging(model):
    """Returns the batch normalization layers that are not frozen."""
    layers = [layer for layer in flat_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    return [layer for layer in layers if layer.trainable and not getattr(layer, "frozen_statistics", False)]


def share_over_replicas(variables: list) -> None:
    """Sets variables to their mean over the replicas; every replica must call it.

    In Keras 3.15 every replica has its own moving statistics. A file would hold those of the first replica, which
    differ from the evaluated ones.
    """
    here = []
    for variable in variables:
        with tf.device(variable.value.device):  # several workers cannot reduce without it
            here.append(tf.identity(variable.value))
    values = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, here)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@contextlib.contextmanager
def averaged_weights(model: keras.Model, optimizer: keras.optimizers.Optimizer):
    """Replaces the trainable weights by their moving averages within its scope, if the optimizer keeps any."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.use_ema:
        yield
        return
    # Reading may sum over workers, so every worker must read.
    trained = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, trained, strict=True):
            variable.assign(value)


def reestimate_statistics(task, model: keras.Model, strategy: tf.distribute.Strategy, batches: int) -> None:
    """Recomputes the moving means and variances over `batches` training batches with the current weights.

    He et al. did this after training (github.com/KaimingHe/deep-residual-networks, "Disclaimer"). The mean is the
    average of the batch means. The variance is that of all images: the average variance plus the variance of the
    means. With several replicas, each batch contributes the average over its replicas.
    """
    layers = _averaging(model)
    if not layers:
        return
    momentums = [layer.momentum for layer in layers]
    batches = min(batches, task.config.train.total_steps)
    for layer in layers:
        layer.momentum = 0.0  # the moving statistics become those of the batch

    def replica_forward(batch):
        task.loss(model, batch)
        share_over_replicas(statistics(model))

    @tf.function(autograph=False)
    def forward(batch):
        strategy.run(replica_forward, args=(batch,))

    sums = [[np.zeros(layer.moving_mean.shape), np.zeros(layer.moving_mean.shape)] for layer in layers]
    try:
        for batch in itertools.islice(training_batches(task, strategy, 0), batches):
            forward(batch)
            for (first, second), layer in zip(sums, layers, strict=True):
                mean = keras.ops.convert_to_numpy(layer.moving_mean).astype(np.float64)
                first += mean
                second += keras.ops.convert_to_numpy(layer.moving_variance) + mean**2
    finally:
        for layer, momentum in zip(layers, momentums, strict=True):
            layer.momentum = momentum
    for (first, second), layer in zip(sums, layers, strict=True):
        mean = first / batches
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(np.maximum(second / batches - mean**2, 0).astype(np.float32))
