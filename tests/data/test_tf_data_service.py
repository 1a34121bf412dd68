"""Tests a real tf.data service on loopback: a dispatcher and two workers, in a process of their own."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from keras_resnet.config import Config, load_config
from keras_resnet.data import scenes
from keras_resnet.data.pipeline import training_batches
from keras_resnet.data.tf_data_service import in_order
from keras_resnet.errors import DataError
from keras_resnet.task import load_task

SERVER = """
import tensorflow as tf
service = tf.data.experimental.service
dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))
address = dispatcher.target.split("://")[1]
workers = [service.WorkerServer(service.WorkerConfig(dispatcher_address=address)) for _ in range(2)]
print(address, flush=True)
dispatcher.join()
"""


@pytest.fixture(scope="module")
def dispatcher():
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        yield f"grpc://{process.stdout.readline().strip()}"
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_tf_data_service_batches_equal_local_batches(dispatcher, photographs, strategies, replicas):
    def batches(service, start):
        data = {"name": f"folder:{photographs}", "image_size": 24, "crop": "random_resized", "mixup": 0.2}
        config = {
            "data": data | {"tf_data_service": service},
            "train": {"steps": 12, "batch_size": 8},
            "export": {"top_k": 1},
        }
        task = load_task(Config.model_validate(config))
        return list(training_batches(task, strategies[replicas], start))

    plain, served = batches(None, 3), batches(dispatcher, 3)
    assert len(plain) == len(served) == 9
    for one, other in zip(plain, served, strict=True):
        for a, b in zip(leaves(one, strategies[replicas]), leaves(other, strategies[replicas]), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_tf_data_service_batches_of_scenes_equal_local_batches(dispatcher, strategies, monkeypatch):
    """A detector's batches: images, objects with their padding, and the seeds of samples."""
    monkeypatch.setattr(scenes, "SCENES", {"train": 12, "validation": 4, "test": 4})

    def batches(service):
        assignments = ["train.steps=3", "train.warmup_steps=0", "data.image_size=64"]
        config = load_config(str(ROOT / "configs/detection/scenes.yaml"), assignments)
        data = config.data.model_copy(update={"tf_data_service": service})
        task = load_task(config.model_copy(update={"data": data}))
        return list(training_batches(task, strategies[2], 1))

    plain, served = batches(None), batches(dispatcher)
    assert len(plain) == len(served) == 2
    for one, other in zip(plain, served, strict=True):
        pairs = list(zip(leaves(one, strategies[2]), leaves(other, strategies[2]), strict=True))
        assert len(pairs) == 2 * 8
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)


def leaves(batch, strategy):
    """Returns the arrays of all replicas."""
    parts = [strategy.experimental_local_results(each) for each in tf.nest.flatten(batch)]
    return [part.numpy() for each in parts for part in each]


def test_in_order_sorts_batches_and_detects_lost_batch():
    assert list(in_order(iter([(4, "e"), (2, "c"), (3, "d"), (5, "f")]), 2)) == ["c", "d", "e", "f"]
    with pytest.raises(DataError, match="the batch of step 3 was lost"):
        list(in_order(iter([(2, "c"), (4, "e")]), 2))
