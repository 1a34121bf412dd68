"""The background saver writes the newest values, and averages where the run averages."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config import Config
from keras_resnet.runs import saver as module
from keras_resnet.runs.checkpoints import RunState, network_arrays, newest_checkpoint
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.saver import Saver
from keras_resnet.training.averages import averaged_weights
from keras_resnet.weights.native import named_variables, to_tensors
from keras_resnet.weights.tensors import read_metadata, read_tensors


def test_saver_writes_a_better_evaluation_during_a_slow_write(tmp_path, monkeypatch):
    def slowly(*args):
        write(*args)
        time.sleep(0.2)

    write = module.write_tensors
    monkeypatch.setattr(module, "write_tensors", slowly)
    config = Config.model_validate({"train": {"steps": 9}})
    folder = RunFolder(str(tmp_path / "run"))
    folder.make()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    saver = Saver(config, model, optimizer, folder, True, print)
    for step in (1, 2):
        optimizer.iterations.assign(step)
        saver.save(RunState(step=step, best={"step": step}), best=True)
        time.sleep(0.1)  # in the middle of writing the best weights
    saver.wait()
    saver.close()
    assert read_metadata(folder.best_weights)["step"] == "2"


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("scaled", [False, True], ids=["float32", "loss scaling"])
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_checkpoint_has_averages_for_any_optimizer_name(tmp_path, strategies, kind, scaled, replicas):
    """The checkpoint alone gives the network that Keras evaluates: averages, not the raw weights."""
    strategy = strategies[replicas]
    config = Config.model_validate({"train": {"steps": 9, "ema_decay": 0.75}})
    folder = RunFolder(str(tmp_path / "run"))
    folder.make()
    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
        optimizer = getattr(keras.optimizers, kind)(0.5, name="mine", use_ema=True, ema_momentum=0.75)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="scale")
        optimizer.build(model.trainable_variables)

    def replica_step():
        optimizer.apply([tf.ones(variable.shape) for variable in model.trainable_variables], model.trainable_variables)

    for _ in range(3):
        tf.function(lambda: strategy.run(replica_step))()
    saver = Saver(config, model, optimizer, folder, True, pytest.fail)
    saver.save(RunState(step=3, best={"step": 3}), best=True)
    saver.wait()
    saver.close()
    raw = to_tensors(named_variables(model))
    with averaged_weights(model, optimizer):
        averaged = to_tensors(named_variables(model))
    for found in (
        network_arrays(newest_checkpoint(folder.checkpoints, pytest.fail)),
        read_tensors(folder.best_weights),
    ):
        assert set(found) == set(averaged)
        for name, value in averaged.items():
            np.testing.assert_array_equal(found[name], value)
            assert np.array_equal(value, raw[name]) == ("moving_" in name)
