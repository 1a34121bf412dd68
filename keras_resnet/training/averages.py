"""Averages: of weights over steps, of batch normalization's statistics over replicas and over the training set."""

import contextlib
import itertools

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.data.batches import training_batches


def statistics(model: keras.Model) -> list:
    """The moving means and variances that training updates."""
    return [variable for layer in _averaging(model) for variable in (layer.moving_mean, layer.moving_variance)]


def _averaging(model):
    """The batch normalizations that are not frozen."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [layer for layer in layers if layer.trainable and not getattr(layer, "frozen_statistics", False)]


def share_over_replicas(variables: list) -> None:
    """Sets variables to their mean over the replicas; called by every replica.

    Keras 3.15 leaves every replica with moving averages of its own, of which a file would hold the first's: what was
    tested would not be what is kept.
    """
    here = []
    for variable in variables:
        with tf.device(variable.value.device):  # without which several workers find no place to reduce to
            here.append(tf.identity(variable.value))
    values = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, here)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@contextlib.contextmanager
def averaged_weights(model: keras.Model, optimizer: keras.optimizers.Optimizer):
    """In its scope, the trainable weights are their moving averages, if the optimizer keeps any."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.use_ema:
        yield
        return
    # Reading may sum over workers, so that every worker reads.
    trained = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, trained, strict=True):
            variable.assign(value)


def reestimate_statistics(task, model: keras.Model, strategy: tf.distribute.Strategy, batches: int) -> None:
    """Sets batch normalization's means and variances to those over `batches` training batches, for these weights.

    What He et al. did after training (github.com/KaimingHe/deep-residual-networks, "Disclaimer"). The mean is the
    average of the batches' means; the variance is that of all images, the average variance plus the variance of the
    means. Over several replicas, a batch counts with the average of its replicas.
    """
    layers = _averaging(model)
    if not layers:
        return
    momentums = [layer.momentum for layer in layers]
    batches = min(batches, task.config.train.total_steps)
    for layer in layers:
        layer.momentum = 0.0  # the moving averages become the batch's own

    def replica_forward(batch):
        task.loss(model, batch)
        share_over_replicas(statistics(model))

    @tf.function
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
