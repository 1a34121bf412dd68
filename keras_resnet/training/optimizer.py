"""Builds the model and the optimizer of a run on its devices, with frozen layers and layer-wise learning rates."""

import re

import keras
import tensorflow as tf

from keras_resnet.config import Train
from keras_resnet.layers import flat_layers
from keras_resnet.optimizers import OPTIMIZERS
from keras_resnet.run_optimizer import Schedule, for_runs


def prepare(model: keras.Model, train: Train) -> None:
    """Freezes layers and sets the batch normalization mode; must be called before the optimizer is built.

    Args:
        model: a network of this package, or a model that contains one; its layers are named "stem_...", "stage1_...",
            and so on.
        train: `freeze_at` freezes the weights and moving statistics of a part and of all parts before it; `batch_norm`
            selects the batch normalization mode.
    """
    for layer in flat_layers(model):
        if train.freeze_at and part_of(layer.name) <= part_of(train.freeze_at):
            layer.trainable = False
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = train.batch_norm == "synchronized"
            layer.frozen_statistics = train.batch_norm == "frozen"
            if train.batch_norm == "constant":
                layer.trainable = False  # Keras then normalizes by the moving statistics in training too


def part_of(name: str) -> float:
    """Returns 0 for the stem, 1 for the first stage and so on; infinity for layers after the last stage."""
    match = re.match(r"stage(\d+)", name)
    if match:
        return int(match[1])
    return 0 if name.startswith(("stem", "images", "preprocessing")) else float("inf")


def learning_rate_factors(variables, decay: float) -> list[float]:
    """Returns learning rate factors: 1 after the last stage, `decay` in it, decay ** 2 in the one before, and so on."""
    parts = [part_of(variable.path) for variable in variables]
    last = max((part for part in parts if part < float("inf")), default=0)
    return [decay ** max(last + 1 - part, 0) for part in parts]


def build_schedule(train: Train) -> Schedule:
    """Returns the learning rate schedule of a resolved configuration."""
    return Schedule(
        train.schedule,
        train.peak_rate,
        train.total_steps,
        train.warmup_steps,
        train.milestones,
        train.warmup_learning_rate,
        train.warmup_start_factor,
    )


def build_optimizer(train: Train, variables) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a resolved configuration, built for `variables`.

    Under a strategy, it can create its variables only if it is built before the first `tf.function` (keras issue
    23085).
    """
    row = OPTIMIZERS[train.optimizer]
    kind = for_runs(row.load())
    optimizer = kind(
        name=_name(kind),
        learning_rate=build_schedule(train),
        weight_decay=train.weight_decay,
        weight_decay_on=train.weight_decay_on,
        global_clipnorm=train.global_clipnorm,
        learning_rate_factors=learning_rate_factors(variables, train.layer_decay) if train.layer_decay < 1 else None,
        use_ema=train.ema_decay > 0,
        ema_momentum=train.ema_decay,
        ema_every=train.ema_every,
        **row.arguments(train),
    )
    if train.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    optimizer.build(variables)
    return optimizer


def _name(kind):
    """Returns the name that Keras gives the first optimizer of a class, and "_1" to the second of a process.

    Checkpoints have it, so that a run has the same in every process.
    """
    return re.sub("([a-z])([A-Z])", r"\1_\2", kind.__name__).lower()


def build_model_and_optimizer(task, strategy: tf.distribute.Strategy) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """Returns (model, optimizer) of a task; the same seed gives the same initial weights."""
    train = task.config.train
    if train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(train.seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(train.precision)
    try:
        with strategy.scope():
            model = task.build_model()
            prepare(model, train)
            optimizer = build_optimizer(train, model.trainable_variables)
            task.prepare_training()  # last, because initial weights depend on the number of layers before
            return model, optimizer
    finally:
        keras.config.set_dtype_policy(policy)
