"""Distributes a task's data sets over the devices of a strategy."""

import contextlib
import itertools
from collections.abc import Iterator

import tensorflow as tf

from keras_resnet.data.pipeline import Shard
from keras_resnet.data.tf_data_service import in_order
from keras_resnet.data.unreadable_images import named
from keras_resnet.errors import DataError


def distribute(strategy: tf.distribute.Strategy, make_dataset, batch_size: int):
    """make_dataset (Shard -> tf.data) -> the strategy's data set, whose elements hold one batch per replica."""

    def on_worker(context):
        replica_batch = context.get_per_replica_batch_size(batch_size)
        return make_dataset(Shard(context.input_pipeline_id, context.num_input_pipelines, replica_batch))

    return strategy.distribute_datasets_from_function(on_worker)


def training_batches(task, strategy: tf.distribute.Strategy, start_step: int) -> Iterator:
    """Yields the batches of the steps from `start_step` on, in order; one element serves all replicas.

    Raises:
        DataError: an image is unreadable, or a tf.data service does not answer.
    """
    config = task.config
    dataset = distribute(strategy, lambda shard: task.train_dataset(start_step, shard), config.train.batch_size)
    elements = in_order(iter(dataset), start_step) if config.data.tf_data_service else iter(dataset)
    for step in itertools.count(start_step):
        with named_faults(task, step):
            batch = next(elements, None)
        if batch is None:
            return
        yield batch


@contextlib.contextmanager
def named_faults(task, step: int) -> Iterator[None]:
    """Converts data errors of a step to a `DataError` that names the image: TensorFlow seldom names the file."""
    try:
        yield
    except tf.errors.OpError as error:
        faults, service = task.train_faults(step), task.config.data.tf_data_service
        if service and not faults:
            raise DataError(f"data.tf_data_service: {service}: {error.message.splitlines()[0]}") from error
        raise named(error, faults) from error
