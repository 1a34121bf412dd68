"""Batches and distributes samples; the position of a sample depends only on the seed and the step."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import tensorflow as tf

from keras_resnet.data.decode import decode
from keras_resnet.data.image_set import Split
from keras_resnet.data.sampling import image_order
from keras_resnet.data.tf_data_service import in_order, replica_batches, through_service
from keras_resnet.errors import DataError

_FORMATS = "is not a JPEG, PNG, BMP, GIF, WebP, AVIF or TIFF that can be read; save it as PNG or JPEG"


def unreadable(split: Split, indices: Iterable[int], channels: int = 3) -> list[str]:
    """Reads images one by one; returns a line "location: reason" for each unreadable image."""
    found = []
    for index in indices:
        try:
            image, _ = split.read(tf.constant(index, tf.int64))
            decode(image, channels)
        except tf.errors.OpError as error:
            found.append(f"{split.source(index)}: {reason(error)}")
    return found


def named(error: tf.errors.OpError, image_errors: list[str]) -> Exception:
    """Returns the exception for a data error: a `DataError` with the first of `image_errors`, or the error itself."""
    return DataError(f"{image_errors[0]} (data.on_unreadable_image=skip skips it)") if image_errors else error


def reason(error: tf.errors.OpError) -> str:
    """Returns what is wrong with a file, in a few words."""
    text = error.message.rpartition("}} ")[2]  # eager errors start with the name of the operation
    if asserted := re.search(
        r"assertion failed: \[((?:[^\[\]]|\[\w*\])*)\]|Summarized data: b'([^']*)'", error.message
    ):
        text = asserted[1] or asserted[2]  # in a graph, or in eager mode
    for part, words in (
        ("is no JPEG", _FORMATS),
        ("Unknown image file format", _FORMATS),
        ("input image size", "has no pixels"),
        ("Input is empty", "is empty"),
        ("Invalid PNG", "is a damaged PNG"),
        ("jpeg::Uncompress failed", "is a truncated or damaged JPEG"),
        ("Invalid JPEG data", "is a truncated or damaged JPEG"),
        ("corrupted record", "is damaged: its checksum is wrong"),
        ("truncated record", "is truncated"),
        ("No such file", "is not there any more"),
        ("NewRandomAccessFile failed", "cannot be opened"),
    ):
        if part in text:
            return words
    return text.splitlines()[0][:200]


@dataclass(frozen=True)
class Shard:
    """One worker's part of each global batch.

    Attributes:
        index, count: index of this worker, and number of workers.
        replica_batch: images per replica; the replicas of a worker take its batches in turn.
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
    order: Callable | None = None,
) -> tf.data.Dataset:
    """Builds the batches of one worker's replicas for the steps from `start_step` to `steps`.

    Args:
        split: the images.
        transform: (stored image, label, seed (2,) int64) -> example; only the seed makes it random.
        seed: determines order and augmentation.
        batch_size: images per step over all workers.
        steps: total number of optimizer steps.
        shard: this worker's part.
        start_step: number of steps already done.
        finish: batch transform, (batch of examples, weights (N,) float32) -> the batch to return.
        skip_unreadable: an unreadable image becomes zeros of weight 0 and does not end the run.
        service: dispatcher of a tf.data service that does the work; the elements are then (step, batch), in any
            order (`tf_data_service.in_order` restores it).
        order: position of a sample in the run's stream of samples -> index of its image; default that of
            `sampling.image_order`, which visits every image once in each epoch.

    Returns:
        A data set of known cardinality.
    """
    local, order = batch_size // shard.count, order or image_order(split, seed)

    def example(position):
        seeds = tf.stack([tf.cast(seed, tf.int64), position])
        return transform(*split.read(order(position)), seeds), tf.constant(1.0)

    if skip_unreadable:
        example = _or_zeros(example)

    if service:
        # A worker of the service prepares whole steps, so that a step's samples stay together.
        def batch_of_step(step):
            positions = tf.data.Dataset.range(local).map(lambda k: step * batch_size + shard.index * local + k)
            return _mapped(positions, example).batch(local, drop_remainder=True).map(lambda *batch: (step, batch))

        prepared = through_service(tf.data.Dataset.range(start_step, steps), batch_of_step, service)
        return replica_batches(prepared, local // shard.replica_batch, steps - start_step).map(
            lambda step, batch: (step, finish(*batch))
        )

    def position(k):
        """Returns the position of this worker's k-th sample in the run's stream of samples."""
        return (start_step + k // local) * batch_size + shard.index * local + k % local

    positions = tf.data.Dataset.range((steps - start_step) * local).map(position)
    batches = _mapped(positions, example).batch(shard.replica_batch, drop_remainder=True)
    return batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def train_indices(order: Callable, batch_size: int, step: int) -> list[int]:
    """Returns the indices of the images of one step over all workers, in the order of `train_batches`."""
    return [int(order(position)) for position in range(step * batch_size, (step + 1) * batch_size)]


def eval_batches(
    split: Split, transform: Callable, *, batch_size: int, shard: Shard, skip_unreadable: bool = False
) -> tf.data.Dataset:
    """Builds one worker's batches of every image once, in order; padding has weight 0.

    All batches are full, so every replica always has work and averages are exact.

    Args:
        split: the images.
        transform: (stored image, label) -> example.
        batch_size: images per step over all workers.
        shard: this worker's part.
        skip_unreadable: an unreadable image also gets weight 0.

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
    """Returns the number of steps of an evaluation; the last one is padded."""
    return -(-split.size // batch_size)


def eval_indices(split: Split, batch_size: int, step: int) -> list[int]:
    """Returns the indices of the images of one evaluation step over all workers, in order."""
    return list(range(step * batch_size, min((step + 1) * batch_size, split.size)))


def _mapped(samples, example):
    # The conversion of Python's control flow to graphs takes a second or two and finds nothing to convert.
    example = tf.autograph.experimental.do_not_convert(example)
    return samples.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _or_zeros(example):
    """Returns a version of `example` that gives zeros, also for the weight, if it fails.

    tf.data can only drop a failing element. Therefore each sample becomes a data set that is followed by zeros, and its
    first remaining element is taken. The number of samples does not change.
    """

    def guarded(k):
        tried = tf.data.Dataset.from_tensors(k).map(example)
        zeros = tf.nest.map_structure(_zeros, tried.element_spec)
        return tried.ignore_errors().concatenate(tf.data.Dataset.from_tensors(zeros)).take(1).get_single_element()

    return guarded


def _zeros(spec):
    return tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)


def distribute(strategy: tf.distribute.Strategy, make_dataset, batch_size: int):
    """make_dataset (Shard -> tf.data) -> the strategy's data set, whose elements hold one batch per replica."""

    def on_worker(context):
        replica_batch = context.get_per_replica_batch_size(batch_size)
        return make_dataset(Shard(context.input_pipeline_id, context.num_input_pipelines, replica_batch))

    return strategy.distribute_datasets_from_function(on_worker)


def over_replicas(strategy: tf.distribute.Strategy, value):
    """Combines what each replica returned, inside or outside of a graph, for all workers.

    Numbers () are summed. Tensors (N, ...) are concatenated in the order of the images of `eval_batches`.
    """
    local = strategy.experimental_local_results(value)[0]
    if local.shape.rank == 0:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
    if local.dtype == tf.bool:  # which no collective of TensorFlow takes
        value = strategy.run(lambda of_replica: tf.cast(of_replica, tf.int32), args=(value,))
        return tf.cast(strategy.gather(value, axis=0), tf.bool)
    return strategy.gather(value, axis=0)


def evaluation_outputs(
    step: Callable,
    strategy: tf.distribute.Strategy,
    make_dataset: Callable,
    *,
    batch_size: int,
    steps: int,
    image_errors: Callable[[int], list[str]],
) -> Iterator:
    """Yields step(batch) for each step of an evaluation, in order.

    Args:
        step: called with the elements of the strategy's data set.
        strategy: the strategy of the devices.
        make_dataset: Shard -> this worker's batches that cover the images once, such as those of `eval_batches`.
        batch_size: images per step over all workers.
        steps: number of steps.
        image_errors: number of a step -> a line for each of its unreadable images.

    Raises:
        DataError: an image is unreadable.
    """
    batches = iter(distribute(strategy, make_dataset, batch_size))
    for number in range(steps):
        try:
            outputs = step(next(batches))
        except tf.errors.OpError as error:
            raise named(error, image_errors(number)) from error
        yield outputs


def training_batches(task, strategy: tf.distribute.Strategy, start_step: int) -> Iterator:
    """Yields the batches of the steps from `start_step` on, in order; one element serves all replicas.

    Raises:
        DataError: an image is unreadable, or a tf.data service does not answer.
    """
    config = task.config
    dataset = distribute(strategy, lambda shard: task.train_dataset(start_step, shard), config.train.batch_size)
    elements = in_order(iter(dataset), start_step) if config.data.tf_data_service else iter(dataset)
    for step in itertools.count(start_step):
        with naming_image_errors(task, step):
            batch = next(elements, None)
        if batch is None:
            return
        yield batch


@contextlib.contextmanager
def naming_image_errors(task, step: int) -> Iterator[None]:
    """Converts data errors of a step to a `DataError` that names the image: TensorFlow seldom names the file."""
    try:
        yield
    except tf.errors.OpError as error:
        image_errors, service = task.train_image_errors(step), task.config.data.tf_data_service
        if service and not image_errors:
            raise DataError(f"data.tf_data_service: {service}: {error.message.splitlines()[0]}") from error
        raise named(error, image_errors) from error
