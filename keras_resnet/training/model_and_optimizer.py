"""Builds the model and the optimizer of a run on its devices."""

import keras
import tensorflow as tf

from keras_resnet.training.finetuning import prepare
from keras_resnet.training.optimizer import build_optimizer


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
            return model, build_optimizer(train, model.trainable_variables)
    finally:
        keras.config.set_dtype_policy(policy)
