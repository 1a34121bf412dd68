"""Sharpness-aware minimization by hand, on replicas, and without a second update of the moving statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tiny_task

from keras_resnet.config import Config, load_config
from keras_resnet.data.pipeline import training_batches
from keras_resnet.errors import ConfigError
from keras_resnet.training.optimizer import build_model_and_optimizer, build_optimizer
from keras_resnet.training.steps import make_train_step
from keras_resnet.weights.native import named_variables, to_tensors


class Quadratic:
    """The loss (w1 ** 2 + w2 ** 2) / 2 of a dense kernel without bias: its gradient is w."""

    def __init__(self, config):
        self.config = config

    def loss(self, model, batch):
        w = model(batch, training=True)  # the images are the unit vectors
        losses = tf.reduce_sum(w**2, -1) / 2 * 2  # of two images, whose mean is the loss
        return losses, {"loss": tf.reduce_sum(losses)}


@pytest.mark.parametrize("parts", [1, 2])
def test_sam_step_by_hand(parts):
    """At w = (3, 4) the gradient has norm 5; rho 0.5 moves to (3.3, 4.4), and lr 0.1 to w - (0.33, 0.44)."""
    train = {"steps": 1, "batch_size": 2, "learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.0, "sam_rho": 0.5}
    train |= {"schedule": "constant", "gradient_accumulation_steps": parts, "jit_compile": False}
    config = Config.model_validate({"train": train})
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[3.0], [4.0]])
    optimizer = build_optimizer(config.train, model.trainable_variables)
    step = make_train_step(Quadratic(config), model, optimizer, tf.distribute.get_strategy())
    sums = step(tf.constant([[1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(model.layers[0].kernel, [[2.67], [3.56]], rtol=1e-6)
    assert float(sums["loss"]) == pytest.approx(25)
    assert float(sums["gradient_norm"]) == pytest.approx(5.5)


def trained(strategy, steps=1, **train):
    values = {"steps": 4, "batch_size": 16, "learning_rate": 0.05, "jit_compile": False} | train
    task = tiny_task(Config.model_validate({"train": values}))
    model, optimizer = build_model_and_optimizer(task, strategy)
    step, batches = make_train_step(task, model, optimizer, strategy), training_batches(task, strategy, 0)
    for _ in range(steps):
        step(next(batches))
    return to_tensors(named_variables(model))


@pytest.mark.slow
def test_sam_updates_the_moving_statistics_once(strategies):
    plain, sam = trained(strategies[1]), trained(strategies[1], sam_rho=0.1)
    for name, value in plain.items():
        assert np.array_equal(sam[name], value) == ("moving_" in name), name


@pytest.mark.slow
def test_sam_is_the_same_on_two_replicas(strategies):
    train = {"batch_norm": "frozen", "sam_rho": 0.1}
    one, two = (trained(strategies[count], 3, **train) for count in (1, 2))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_sam_is_refused_with_remat():
    with pytest.raises(ConfigError, match=r"train\.remat: cannot go with train\.sam_rho"):
        load_config(str(ROOT / "configs/digits/resnet20.yaml"), ["train.remat=true", "train.sam_rho=0.1"])
