"""Evaluation equals NumPy for every data set size and number of replicas."""

import numpy as np
import pytest
from conftest import tiny_task

from keras_resnet.config import Config
from keras_resnet.data.image_set import Split
from keras_resnet.training.metrics import Evaluator


def task_of(size, batch_size):
    config = Config.model_validate({"train": {"steps": 1}, "eval": {"batch_size": batch_size}})
    task = tiny_task(config)
    test = task.images.split("test")
    task.images.splits["part"], task.sizes["part"] = Split(size, test.read, test.source), size
    return task


@pytest.mark.sampled("33-2")
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("size", [1, 31, 32, 33, 35])
def test_evaluator_equals_numpy(strategies, replicas, size):
    task = task_of(size, 4)
    strategy = strategies[replicas]
    with strategy.scope():
        model = task.build_model()
    figures = Evaluator(task, model, strategy)("part")

    read = task.images.splits["part"].read
    images, labels = zip(*[read(i) for i in range(size)], strict=True)
    logits = np.asarray(model(np.stack(images).astype(np.float32), training=False), np.float64)
    labels = np.array(labels)
    error = 100 * np.mean(logits.argmax(-1) != labels)
    top = logits.max(-1, keepdims=True)
    loss = np.mean(np.log(np.exp(logits - top).sum(-1)) + top[:, 0] - logits[np.arange(size), labels])
    assert figures["error"] == pytest.approx(error, abs=1e-9)
    assert figures["loss"] == pytest.approx(loss, rel=1e-5)
