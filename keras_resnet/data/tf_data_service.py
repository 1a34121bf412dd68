"""Prepares batches on other machines with tf.data service.

The service's workers deliver batches in no fixed order. The unit of work is a whole step, and each batch comes with its
step's number, so the order can be restored exactly.
"""

from collections.abc import Iterator

import tensorflow as tf

from keras_resnet.errors import DataError

WAITING = 1000  # batches that wait for an earlier one before the earlier one counts as lost


def through_service(steps: tf.data.Dataset, batch_of_step, address: str) -> tf.data.Dataset:
    """Prepares `batch_of_step` of each step on a tf.data service.

    Args:
        steps: the step numbers.
        batch_of_step: step () int64 -> data set with the single element (step, batch).
        address: address of the dispatcher, "grpc://HOST:PORT".
    """
    batches = steps.interleave(batch_of_step, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    return batches.apply(
        tf.data.experimental.service.distribute(tf.data.experimental.service.ShardingPolicy.DYNAMIC, address)
    )


def replica_batches(batches: tf.data.Dataset, replicas: int, steps: int) -> tf.data.Dataset:
    """Splits a worker's batch into one per replica: each (step, batch) becomes `replicas` elements (step, part)."""

    def cut(step, batch):
        parts = tf.nest.map_structure(lambda x: tf.reshape(x, _with_parts(x, replicas)), batch)
        return tf.data.Dataset.from_tensor_slices(parts).map(lambda *part: (step, part))

    return batches.flat_map(cut).apply(tf.data.experimental.assert_cardinality(steps * replicas))


def _with_parts(x, parts):
    return [parts, x.shape[0] // parts, *x.shape[1:]]


def in_order(elements: Iterator, first_step: int) -> Iterator:
    """Yields the batches of (step, batch) elements in the order of their steps.

    Args:
        elements: an iterator over a distributed data set; (step, batch) per replica, the same step for all.
        first_step: the step of the first batch to yield.

    Raises:
        DataError: a batch never arrives.
    """
    waiting: dict = {}
    step = first_step
    for numbers, batch in elements:
        waiting[int(_first(numbers))] = batch
        while step in waiting:
            yield waiting.pop(step)
            step += 1
        if len(waiting) > WAITING:
            break
    if waiting:
        raise DataError(f"data.tf_data_service: the batch of step {step} was lost; start again, and the run resumes")


def _first(per_replica):
    return per_replica.values[0] if hasattr(per_replica, "values") else per_replica
