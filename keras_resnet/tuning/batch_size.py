"""Measures the speed and the memory of training steps by batch size, each batch size in a process of its own."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np

from keras_resnet.config import Config, check_strategy
from keras_resnet.config.loading import changed

FAST_ENOUGH = 0.95  # share of the highest speed that the suggested batch size must reach
DEFAULT_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
LEAST_STEPS = 16  # that the default batch sizes leave an epoch
_STEPS = 6  # the first of which traces the graph
_SECONDS = 60.0  # after which no further step begins
_USABLE = 0.9  # share of the free memory that a batch size may take


@dataclass(frozen=True)
class BatchSizeRow:
    """One batch size.

    Attributes:
        batch_size: images per step, over all replicas.
        images_per_second: of training, input included; None if it was not measured.
        memory: bytes that the process, or the GPU with the most, held; None if the system does not report it.
        problem: why it was not measured, or "".
    """

    batch_size: int
    images_per_second: float | None
    memory: int | None
    problem: str = ""


def batch_size_rows(
    config: Config, sizes: Sequence[int], strategy: str, virtual_devices: int
) -> Iterator[BatchSizeRow]:
    """Yields a row for each of the growing batch sizes, until one does not fit into memory.

    Args:
        config: the configuration of the run.
        sizes: the batch sizes; none for `DEFAULT_SIZES`, of which those are left out that leave an epoch few steps.
        strategy, virtual_devices: as for `make_strategy`.

    Raises:
        UserError: the configuration or the data do not allow training.
    """
    rows: list[BatchSizeRow] = []
    for size in sizes or DEFAULT_SIZES:
        needed, free = _needed(rows, size), free_memory()
        if needed and free and needed > _USABLE * free:
            yield BatchSizeRow(size, None, None, f"needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
            return
        rows.append(_measured_apart(config, size, 1 if sizes else LEAST_STEPS, strategy, virtual_devices))
        yield rows[-1]
        if rows[-1].problem:
            return


def suggested_batch_size(rows: Sequence[BatchSizeRow]) -> int | None:
    """Returns the smallest batch size with 95 % of the highest speed; None if nothing was measured."""
    speeds = {row.batch_size: row.images_per_second for row in rows if row.images_per_second is not None}
    if not speeds:
        return None
    return min(size for size, speed in speeds.items() if speed >= FAST_ENOUGH * max(speeds.values()))


def free_memory() -> int | None:
    """Returns the bytes of memory that the system can give to a process; None if it does not report them."""
    return _kilobytes("/proc/meminfo", "MemAvailable")


def _needed(rows, size):
    """Returns the memory of a batch size by a line through the last two rows; None if fewer are known."""
    known = [(row.batch_size, row.memory) for row in rows if row.memory]
    if len(known) < 2 or _on_gpu():
        return None
    (first, before), (last, now) = known[-2:]
    return now + max(now - before, 0) * (size - last) / (last - first)


def _on_gpu():
    return os.path.exists("/dev/nvidiactl")  # TensorFlow then says itself if memory is exhausted


def _measured_apart(config, size, least_steps, strategy, virtual_devices):
    """Measures in a new process, which the system may end if memory is exhausted."""
    spawn = multiprocessing.get_context("spawn")
    arguments = (config.model_dump(mode="json"), size, least_steps, strategy, virtual_devices)
    try:
        with ProcessPoolExecutor(1, mp_context=spawn) as executor:
            return executor.submit(measured, *arguments).result()
    except BrokenProcessPool:
        return BatchSizeRow(size, None, None, "the system ended the process, as it does if memory is exhausted")


def measured(values: dict, size: int, least_steps: int, strategy: str, virtual_devices: int) -> BatchSizeRow:
    """Times training steps in this process.

    Args:
        values: the configuration as plain values.
        size: the batch size.
        least_steps: the number of steps that an epoch must have at least.
        strategy, virtual_devices: as for `make_strategy`.

    Raises:
        UserError: the configuration or the data do not allow training.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from keras_resnet.config.loading import validate_saved
    from keras_resnet.data.pipeline import training_batches
    from keras_resnet.task import load_task
    from keras_resnet.training.optimizer import build_model_and_optimizer
    from keras_resnet.training.steps import make_train_step
    from keras_resnet.training.strategy import make_strategy

    config = changed(
        validate_saved(values, "tune"), [f"train.batch_size={size}", f"train.steps={_STEPS}", "train.warmup_steps=0"]
    )
    devices = make_strategy(strategy, virtual_devices)
    check_strategy(config, strategy, devices.num_replicas_in_sync)
    task = load_task(config)
    if size * least_steps > task.train_size:
        few = f"{task.train_size:,} training images would be fewer than {least_steps} steps"
        return BatchSizeRow(size, None, None, few)
    seconds: list[float] = []
    try:
        model, optimizer = build_model_and_optimizer(task, devices)
        step = make_train_step(task, model, optimizer, devices)
        began = last = time.monotonic()
        for batch in training_batches(task, devices, 0):
            float(step(batch)["loss"])  # waits for the step
            last, before = time.monotonic(), last
            seconds.append(last - before)
            if last - began > _SECONDS and len(seconds) > 1:
                break
    except tf.errors.ResourceExhaustedError:
        return BatchSizeRow(size, None, None, "does not fit into memory")
    return BatchSizeRow(size, size / float(np.median(seconds[1:] or seconds)), _held())


def _held():
    """Returns the most bytes that this process has held: on the GPU that held most, or in main memory."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        return max(tf.config.experimental.get_memory_info(gpu.name.removeprefix("/device:"))["peak"] for gpu in gpus)
    return _kilobytes("/proc/self/status", "VmHWM")


def _kilobytes(path, name):
    """Returns the bytes of a line "name: 12 kB" of a file of the system; None if there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            values = dict(line.split(":", 1) for line in file if ":" in line)
        return 1024 * int(values[name].split()[0])
    except (OSError, KeyError):
        return None
