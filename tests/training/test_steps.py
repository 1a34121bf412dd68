"""Two replicas compute the same steps as one on the same global batch."""

import keras
import numpy as np
import pytest
from conftest import tiny_task

from keras_resnet.config import Config
from keras_resnet.data.pipeline import distribute
from keras_resnet.training.optimizer import build_optimizer
from keras_resnet.training.steps import make_train_step
from keras_resnet.weights.native import named_variables, to_tensors


def trained(strategy, steps=3, frozen=True, jit_compile=False, **train):
    """Returns weights before and after some steps, the sums over the steps, and the optimizer's step count."""
    config = Config.model_validate(
        {
            "train": {"steps": 10, "batch_size": 16, "learning_rate": 0.02, "weight_decay": 1e-2} | train,
            "data": {"random_crop_padding": 1},
        }
    )
    task = tiny_task(config)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = task.build_model()
        if frozen:  # statistics are per replica; without them, replicas must agree exactly
            for layer in model.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
        optimizer = build_optimizer(task.config.train, model.trainable_variables)
    before = to_tensors(named_variables(model))
    step = make_train_step(task, model, optimizer, strategy, jit_compile)
    batches = iter(distribute(strategy, lambda shard: task.train_dataset(0, shard), 16))
    sums = [{name: float(value) for name, value in step(next(batches)).items()} for _ in range(steps)]
    return before, to_tensors(named_variables(model)), sums, int(optimizer.iterations.numpy())


def test_train_step_on_two_replicas_equals_one(strategies):
    before, one, one_sums, count = trained(strategies[1])
    _, two, two_sums, two_count = trained(strategies[2])
    assert count == two_count == 3
    for name, value in one.items():
        if not np.array_equal(value, before[name]):
            moved = np.abs(value - before[name]).max()
            np.testing.assert_allclose(two[name], value, atol=1e-5 * max(moved, np.abs(value).max()))
    for ours, theirs in zip(one_sums, two_sums, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert ours["images"] == 16


@pytest.mark.slow
def test_train_step_updates_every_weight(strategies):
    """A variable without gradient would keep its value."""
    before, after, _, _ = trained(strategies[1], frozen=False)
    assert [name for name, value in after.items() if np.array_equal(value, before[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_train_step_with_remat_equals_the_plain_step(strategies, replicas):
    """Weights, and moving statistics, which the recomputation must not update a second time."""
    _, plain, sums, _ = trained(strategies[replicas], steps=2, frozen=False)
    _, again, again_sums, _ = trained(strategies[replicas], steps=2, frozen=False, remat=True)
    for ours, theirs in zip(sums, again_sums, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    for name, value in plain.items():
        np.testing.assert_allclose(again[name], value, atol=1e-4 * np.abs(value).max(), err_msg=name)


@pytest.mark.slow
def test_train_step_with_jit_compile_equals_the_plain_step(strategies):
    _, plain, _, _ = trained(strategies[1], steps=1, frozen=False)
    _, compiled, _, _ = trained(strategies[1], steps=1, frozen=False, jit_compile=True)
    for name, value in plain.items():
        np.testing.assert_allclose(compiled[name], value, atol=1e-3 * np.abs(value).max())
