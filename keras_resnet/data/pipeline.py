"""Order and batches: which sample stands where is a function of the seed and the step, and of nothing else.

A run that starts at step k therefore sees what it would have seen, however many workers share the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_resnet.data.image_set import Split


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
) -> tf.data.Dataset:
    """Batches of one worker's replicas for the steps from `start_step` to `steps`.

    Every epoch visits each image once, in an order of its own.

    Args:
        split: the images.
        transform: (image, label, seed (2,) int64) -> example, random only by its seed.
        seed: decides order and augmentation.
        batch_size: images of one step over all workers.
        steps: optimizer steps in all.
        shard: this worker's part.
        start_step: steps already done.

    Returns:
        A data set of known cardinality.
    """
    local = batch_size // shard.count

    def position(k):
        """The k-th sample of this worker -> its position in the run's whole stream of samples."""
        return (start_step + k // local) * batch_size + shard.index * local + k % local

    def example(k):
        at = position(k)
        index = shuffled(at % split.size, at // split.size, split.size, seed)
        return transform(*split.read(index), tf.stack([tf.cast(seed, tf.int64), at]))

    samples = tf.data.Dataset.range((steps - start_step) * local)
    return _batched(samples, example, shard.replica_batch)


def shuffled(index, epoch, size, seed):
    """index () int64 in [0, size) -> its place in that epoch's order: a permutation that needs no memory."""
    key = tf.cast(tf.stack([tf.cast(seed, tf.int64), epoch]), tf.uint32)
    return tf.random.experimental.index_shuffle(index, key, tf.constant(size - 1, tf.int64))


def eval_batches(split: Split, transform: Callable, *, batch_size: int, shard: Shard) -> tf.data.Dataset:
    """One worker's batches of every image once, in order, with a weight that is 0 for filling.

    All batches are full, so that every replica always has work and averages stay exact.

    Args:
        split: the images.
        transform: (image, label) -> example.
        batch_size: images of one step over all workers.
        shard: this worker's part.

    Returns:
        A data set of ((example), weight float32) of known cardinality.
    """
    local = batch_size // shard.count
    steps = eval_steps(split, batch_size)

    def example(k):
        at = (k // local) * batch_size + shard.index * local + k % local
        return transform(*split.read(tf.minimum(at, split.size - 1))), tf.cast(at < split.size, tf.float32)

    return _batched(tf.data.Dataset.range(steps * local), example, shard.replica_batch)


def eval_steps(split: Split, batch_size: int) -> int:
    """Steps that an evaluation takes, the last one filled up."""
    return -(-split.size // batch_size)


def _batched(samples, example, replica_batch):
    return (
        samples.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(replica_batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
