"""Order and batches: which sample stands where is a function of the seed and the step, and of nothing else.

A run that starts at step k therefore sees what it would have seen, however many workers share the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_resnet.data.image_set import Split
from keras_resnet.data.tf_data_service import replica_batches, through_service


@dataclass(frozen=True)
class Shard:
    """One worker's part of every global batch.

    Attributes:
        index, count: this worker, and how many there are.
        replica_batch: images of one replica; a worker's batches are drawn by its replicas in turn.
    """

    index: int
    count: int
    replica_batch: int


def train_batches(
    split: Split,
    transform: Callable,
    *,
    seed: int,
    batch_size: int,
    steps: int,
    shard: Shard,
    start_step: int = 0,
    finish: Callable = lambda example, weights: (example, weights),
    skip_unreadable: bool = False,
    service: str | None = None,
) -> tf.data.Dataset:
    """Batches of one worker's replicas for the steps from `start_step` to `steps`.

    Every epoch visits each image once, in an order of its own.

    Args:
        split: the images.
        transform: (stored image, label, seed (2,) int64) -> example, random only by its seed.
        seed: decides order and augmentation.
        batch_size: images of one step over all workers.
        steps: optimizer steps in all.
        shard: this worker's part.
        start_step: steps already done.
        finish: (batch of examples, weights (N,) float32) -> what is returned for each batch.
        skip_unreadable: a sample that cannot be read becomes zeros of weight 0, and does not end the run.
        service: dispatcher of a tf.data service that does the work; the elements are (step, batch) then, in any
            order (`service.in_order` restores it).

    Returns:
        A data set of known cardinality.
    """
    local = batch_size // shard.count

    def example(position):
        index = shuffled(position % split.size, position // split.size, split.size, seed)
        seeds = tf.stack([tf.cast(seed, tf.int64), position])
        return transform(*split.read(index), seeds), tf.constant(1.0)

    if skip_unreadable:
        example = _or_zeros(example)

    if service:
        # A worker of the service gets whole steps to do, so that a step's samples stay together.
        def batch_of_step(step):
            positions = tf.data.Dataset.range(local).map(lambda k: step * batch_size + shard.index * local + k)
            return _mapped(positions, example).batch(local, drop_remainder=True).map(lambda *batch: (step, batch))

        prepared = through_service(tf.data.Dataset.range(start_step, steps), batch_of_step, service)
        return replica_batches(prepared, local // shard.replica_batch, steps - start_step).map(
            lambda step, batch: (step, finish(*batch))
        )

    def position(k):
        """The k-th sample of this worker -> its position in the run's whole stream of samples."""
        return (start_step + k // local) * batch_size + shard.index * local + k % local

    positions = tf.data.Dataset.range((steps - start_step) * local).map(position)
    batches = _mapped(positions, example).batch(shard.replica_batch, drop_remainder=True)
    return batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def shuffled(index, epoch, size, seed):
    """index () int64 in [0, size) -> its place in that epoch's order: a permutation that needs no memory."""
    key = tf.cast(tf.stack([tf.cast(seed, tf.int64), epoch]), tf.uint32)
    return tf.random.experimental.index_shuffle(index, key, tf.constant(size - 1, tf.int64))


def train_indices(split: Split, seed: int, batch_size: int, step: int) -> list[int]:
    """The images of one step over all workers, in order."""
    positions = range(step * batch_size, (step + 1) * batch_size)
    return [int(shuffled(at % split.size, at // split.size, split.size, seed)) for at in positions]


def eval_batches(
    split: Split, transform: Callable, *, batch_size: int, shard: Shard, skip_unreadable: bool = False
) -> tf.data.Dataset:
    """One worker's batches of every image once, in order, with a weight that is 0 for filling.

    All batches are full, so that every replica always has work and averages stay exact.

    Args:
        split: the images.
        transform: (stored image, label) -> example.
        batch_size: images of one step over all workers.
        shard: this worker's part.
        skip_unreadable: an image that cannot be read gets weight 0 too.

    Returns:
        A data set of ((example), weight float32) of known cardinality.
    """
    local = batch_size // shard.count

    def example(k):
        at = (k // local) * batch_size + shard.index * local + k % local
        return transform(*split.read(tf.minimum(at, split.size - 1))), tf.cast(at < split.size, tf.float32)

    if skip_unreadable:
        example = _or_zeros(example)
    samples = tf.data.Dataset.range(eval_steps(split, batch_size) * local)
    return _mapped(samples, example).batch(shard.replica_batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def eval_steps(split: Split, batch_size: int) -> int:
    """Steps that an evaluation takes, the last one filled up."""
    return -(-split.size // batch_size)


def eval_indices(split: Split, batch_size: int, step: int) -> list[int]:
    """The images of one evaluation step over all workers, in order."""
    return list(range(step * batch_size, min((step + 1) * batch_size, split.size)))


def _mapped(samples, example):
    return samples.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _or_zeros(example):
    """`example`, but zeros everywhere, the weight included, where it fails.

    tf.data can only drop what fails, so every sample becomes a data set of its own, and the first of what is left of
    it and of the zeros is taken. The number of samples stays what it was.
    """

    def guarded(k):
        tried = tf.data.Dataset.from_tensors(k).map(example)
        zeros = tf.nest.map_structure(_zeros, tried.element_spec)
        return tried.ignore_errors().concatenate(tf.data.Dataset.from_tensors(zeros)).take(1).get_single_element()

    return guarded


def _zeros(spec):
    return tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
