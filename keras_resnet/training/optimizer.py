"""Builds the optimizer of a run."""

import keras

from keras_resnet.config import Train
from keras_resnet.optimizers import SGD, Schedule
from keras_resnet.training.finetuning import learning_rate_factors


def build_schedule(train: Train) -> Schedule:
    """Returns the learning rate schedule of a resolved configuration."""
    return Schedule(
        train.schedule,
        train.peak_rate,
        train.total_steps,
        train.warmup_steps,
        train.milestones,
        train.warmup_learning_rate,
    )


def build_optimizer(train: Train, variables) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a resolved configuration, built for `variables`.

    Under a strategy, it can create its variables only if it is built before the first `tf.function` (keras issue
    23085).
    """
    optimizer = SGD(
        build_schedule(train),
        train.momentum,
        train.weight_decay,
        train.weight_decay_on,
        train.global_clipnorm,
        learning_rate_factors(variables, train.layer_decay) if train.layer_decay < 1 else None,
        use_ema=train.ema_decay > 0,
        ema_momentum=train.ema_decay,
    )
    if train.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    optimizer.build(variables)
    return optimizer
