"""tf.data service: other machines prepare the batches.

Its workers deliver what they have ready, in no fixed order; with whole steps as the unit of work, and the step's number
with each, the order can be restored exactly.
"""

from collections.abc import Iterator

import tensorflow as tf

from keras_resnet.errors import DataError

WAITING = 1000  # batches that may wait for an earlier one before it counts as lost


def through_service(steps: tf.data.Dataset, batch_of_step, address: str) -> tf.data.Dataset:
    """Has a tf.data service prepare `batch_of_step` of every step.

    Args:
        steps: the numbers of the steps.
        batch_of_step: step () int64 -> data set of the one element (step, batch).
        address: the dispatcher, "grpc://HOST:PORT".
    """
    batches = steps.interleave(batch_of_step, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    return batches.apply(
        tf.data.experimental.service.distribute(tf.data.experimental.service.ShardingPolicy.DYNAMIC, address)
    )


def replica_batches(batches: tf.data.Dataset, replicas: int, steps: int) -> tf.data.Dataset:
    """Cuts every worker's batch into one for each of its replicas: (step, batch) -> `replicas` times (step, part)."""

    def cut(step, batch):
        parts = tf.nest.map_structure(lambda x: tf.reshape(x, _with_parts(x, replicas)), batch)
        return tf.data.Dataset.from_tensor_slices(parts).map(lambda *part: (step, part))

    return batches.flat_map(cut).apply(tf.data.experimental.assert_cardinality(steps * replicas))


def _with_parts(x, parts):
    return [parts, x.shape[0] // parts, *x.shape[1:]]


def in_order(elements: Iterator, first_step: int) -> Iterator:
    """(step, batch) in any order -> batches in the order of their steps.

    Args:
        elements: an iterator over a distributed data set; (step, batch) per replica, the same step for all.
        first_step: the step of the first batch to be given out.

    Raises:
        DataError: a batch never came.
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
        raise DataError(
            f"data.tf_data_service: the batch of step {step} was lost; start again, the run goes on where it was"
        )


def _first(per_replica):
    return per_replica.values[0] if hasattr(per_replica, "values") else per_replica
