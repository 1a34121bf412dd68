"""Exact figures of a model over a whole split."""

import numpy as np
import tensorflow as tf

from keras_resnet.data.pipeline import Shard
from keras_resnet.training.steps import make_eval_step


def distribute(strategy: tf.distribute.Strategy, make_dataset, batch_size: int):
    """make_dataset (Shard -> tf.data) -> the strategy's data set, whose elements hold a batch per replica."""

    def on_worker(context):
        replica_batch = context.get_per_replica_batch_size(batch_size)
        return make_dataset(Shard(context.input_pipeline_id, context.num_input_pipelines, replica_batch))

    return strategy.distribute_datasets_from_function(on_worker)


class Evaluator:
    """Evaluates a model on a task's splits; traces its step once."""

    def __init__(self, task, model, strategy):
        self._task, self._strategy = task, strategy
        self._step = make_eval_step(task, model, strategy)

    def __call__(self, split: str) -> dict[str, float]:
        """Figures over every image of the split, each counted once."""
        dataset = distribute(
            self._strategy, lambda shard: self._task.eval_dataset(split, shard), self._task.config.eval.batch_size
        )
        batches = iter(dataset)
        return self._task.summarize(add([self._step(next(batches)) for _ in range(self._task.eval_steps(split))]))


def add(steps: list[dict]) -> dict[str, float]:
    """Sums of single steps [{name: ()}] -> their sums in float64."""
    return {name: float(np.sum([float(sums[name]) for sums in steps])) for name in steps[0]} if steps else {}
