"""Exact metrics of a model over a whole split."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_resnet.data.batches import distribute
from keras_resnet.data.unreadable_images import named
from keras_resnet.training.steps import make_eval_step


class Interrupted(Exception):
    """Signals that an evaluation was asked to stop."""


class Evaluator:
    """Evaluates a model on a task's splits; traces its step once.

    Args:
        task: the task to evaluate.
        model: the network.
        strategy: the distribution strategy.
        should_stop: called before every step; the evaluation raises `Interrupted` if it returns True.
    """

    def __init__(self, task, model, strategy, should_stop: Callable[[], bool] = lambda: False):
        self._task, self._strategy, self._should_stop = task, strategy, should_stop
        self._step = make_eval_step(task, model, strategy)

    def __call__(self, split: str) -> dict[str, float]:
        """Returns the metrics of a split, with every image counted once."""
        dataset = distribute(
            self._strategy, lambda shard: self._task.eval_dataset(split, shard), self._task.config.eval.batch_size
        )
        batches, sums = iter(dataset), []
        for step in range(self._task.eval_steps(split)):
            if self._should_stop():
                raise Interrupted
            try:
                sums.append(self._step(next(batches)))
            except tf.errors.OpError as error:
                raise named(error, self._task.eval_faults(split, step)) from error
        return self._task.summarize(add(sums))


def add(steps: list[dict]) -> dict[str, float]:
    """Sums of single steps [{name: ()}] -> their sums in float64."""
    return {name: float(np.sum([float(sums[name]) for sums in steps])) for name in steps[0]} if steps else {}
