"""What is written in the background is what was asked for last."""

import time

import keras

from keras_resnet.config import Config
from keras_resnet.runs import saver as module
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.saver import Saver
from keras_resnet.runs.state import RunState
from keras_resnet.weights.tensors import read_metadata


def test_a_better_evaluation_while_the_last_one_is_being_written(tmp_path, monkeypatch):
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
