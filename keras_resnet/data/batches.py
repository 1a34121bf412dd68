"""A task's data sets on the devices of a strategy."""

from collections.abc import Iterator

import tensorflow as tf

from keras_resnet.data.pipeline import Shard
from keras_resnet.data.service import in_order


def distribute(strategy: tf.distribute.Strategy, make_dataset, batch_size: int):
    """make_dataset (Shard -> tf.data) -> the strategy's data set, whose elements hold a batch per replica."""

    def on_worker(context):
        replica_batch = context.get_per_replica_batch_size(batch_size)
        return make_dataset(Shard(context.input_pipeline_id, context.num_input_pipelines, replica_batch))

    return strategy.distribute_datasets_from_function(on_worker)


def training_batches(task, strategy: tf.distribute.Strategy, start_step: int) -> Iterator:
    """The batches of the steps from `start_step`, in order, one element for all replicas."""
    config = task.config
    dataset = distribute(strategy, lambda shard: task.train_dataset(start_step, shard), config.train.batch_size)
    return in_order(iter(dataset), start_step) if config.data.service else iter(dataset)
