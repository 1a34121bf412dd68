"""Saves and restores a run's variables and state as checkpoints and weights, in a background thread."""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np

from keras_resnet import __version__
from keras_resnet.config import Config, first_difference
from keras_resnet.description import Description
from keras_resnet.errors import ConfigError, DiskError
from keras_resnet.files import free_bytes, is_file, sync_file
from keras_resnet.runs.checkpoints import (
    Checkpoint,
    RunState,
    committed,
    network_arrays,
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from keras_resnet.runs.folder import RunFolder, check_classes, continuation
from keras_resnet.weights.native import (
    assign_tensors,
    check_tensors,
    describe,
    named_variables,
    random_states,
    to_tensors,
)
from keras_resnet.weights.tensors import read_metadata, write_tensors


class Background:
    """Runs jobs one after the other in one thread. At most one job exists, which bounds memory use."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._job: Future | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Starts a job after the previous one has ended; if that one failed, raises its exception instead."""
        self.wait()
        self._job = self._pool.submit(job)

    def check(self) -> None:
        """Raises the exception of the last job if it has ended with one; does not wait."""
        if self._job and self._job.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the last job, and raises its exception."""
        job, self._job = self._job, None
        if job:
            job.result()

    def close(self) -> None:
        """Waits for the last job, ignores its exception, and ends the thread."""
        self._pool.shutdown()


class Saver:
    """Saves in the background: the training loop waits while the variables are copied, and a thread writes the copy.

    Args:
        config: the run's resolved configuration.
        model: the network.
        optimizer: its optimizer, built.
        folder: the run's folder.
        writes: whether this process writes files; the other processes only take part in reading variables.
        warn: receives a line for each damaged file and each failed write.
    """

    def __init__(
        self,
        config: Config,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        folder: RunFolder,
        writes: bool,
        warn: Callable[[str], None],
    ):
        self._config, self._model, self._folder, self._writes, self._warn = config, model, folder, writes, warn
        self._optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        self._skips_steps = self._optimizer is not optimizer  # loss scaling skips steps that overflow
        named = {f"optimizer/{variable.path}": variable for variable in optimizer.variables}
        if len(named) != len(optimizer.variables):
            raise ValueError("two variables of the optimizer share a path, and cannot be distinguished by name")
        self._variables = named_variables(model) | random_states(model) | named
        self._averages = _averages(model, self._optimizer)
        self._background = Background()
        self.saved: int | None = None  # the step of the newest checkpoint, which may still be in writing
        self._owed: Checkpoint | None = None  # its best weights are not written yet, or writing them failed
        # The best step of each kept checkpoint: the best weights exist for each one that the run may resume from.
        self._bests: deque[int] = deque(maxlen=config.train.keep_checkpoints)

    def save(self, state: RunState, best: bool = False) -> None:
        """Starts to write a checkpoint.

        Args:
            state: the state to save with the variables.
            best: whether to save the network's weights as the best ones too.

        Raises:
            DiskError: writing the previous checkpoint failed, and `recovery.on_save_error` is "stop".
        """
        self.wait()  # the thread must no longer use `_owed`
        # Reading variables may sum over workers, so every worker reads and only the chief writes.
        arrays = to_tensors(self._variables)
        self._check_steps(state.step)
        self.saved = state.step
        if not self._writes:
            return
        description = self._description.to_json() if self._description else {}
        config = self._config.model_dump(mode="json")
        checkpoint = Checkpoint(state.step, arrays, state.to_json(), config, description, self._averages)
        self._bests.append(state.best.get("step", state.step))
        bests = set(self._bests)
        if best:
            self._owed = checkpoint

        def write():
            with contextlib.suppress(FileNotFoundError):
                sync_file(self._folder.metrics)  # no line before this step may be lost from now on
            save_checkpoint(self._folder.checkpoints, checkpoint)
            self._write_best()
            prune(self._folder.checkpoints, state.step, self._config.train.keep_checkpoints, bests)

        self._background.submit(write)

    def save_weights(self, path: str, step: int) -> None:
        """Writes the current weights of the network, after all earlier writes."""
        arrays = to_tensors(named_variables(self._model))
        self.wait()
        if self._writes:
            if path == self._folder.best_weights:
                self._owed = None  # the current weights are better
            self._write_best()
            self._write_weights(path, arrays, step, self._description)

    def check(self) -> None:
        """Raises, or logs as a warning, an error of the last write."""
        self._guarded(self._background.check)

    def wait(self, must: bool = False) -> None:
        """Waits for the last write; raises, or logs as a warning, its error. With `must`, always raises it."""
        self._guarded(self._background.wait, must)

    def close(self) -> None:
        """Waits for the last write and ignores its errors."""
        self._background.close()

    def self_check(self, state: RunState) -> None:
        """Saves a first checkpoint and restores it, so that problems appear at the start of the run.

        Raises:
            DiskError: it cannot be written or read back, for every value of `recovery.on_save_error`.
        """
        self.save(state)
        self.wait(must=True)
        if not self._writes:
            return
        checkpoint = newest_checkpoint(self._folder.checkpoints, self._warn)
        if checkpoint is None or checkpoint.step != state.step:
            raise DiskError(f"{self._folder.checkpoints}: does not give back what was written there")
        assign_tensors(self._variables, checkpoint.arrays, self._folder.checkpoints)
        size, free = self._bytes(), free_bytes(self._folder.checkpoints)
        needed = size * (self._config.train.keep_checkpoints + 2)  # the best one, and one in writing
        if free is not None and free < needed:
            self._warn(f"{self._folder.checkpoints}: checkpoints will take {_size(needed)}, {_size(free)} are free")

    def restore(self) -> RunState | None:
        """Sets the variables from the newest undamaged checkpoint and returns its state; None without checkpoints.

        Raises:
            ConfigError: it belongs to another run, or all checkpoints are damaged.
        """
        checkpoint = newest_checkpoint(self._folder.checkpoints, self._warn)
        if checkpoint is None:
            there = committed(self._folder.checkpoints)
            if there:
                many = f"none of its {len(there)} checkpoints is whole"
                raise ConfigError(f"{self._folder.checkpoints}: {many}; move the folder away to start over")
            return None
        self._check_ours(checkpoint)
        assign_tensors(self._variables, checkpoint.arrays, self._folder.checkpoints)
        if (described := _described(checkpoint)) and described.thresholds:
            self._model.description = replace(self._model.description, thresholds=described.thresholds)
        state = RunState.from_json(checkpoint.state | {"step": checkpoint.step})
        self.saved = checkpoint.step
        self._bests.append(state.best.get("step", state.step))
        if self._writes:
            self._restore_best(state, checkpoint)
        return state

    @property
    def _description(self):
        return getattr(self._model, "description", None)

    def _check_steps(self, step):
        """Checks that the optimizer and the run have done the same number of steps, which Keras 3.15 can miscount."""
        done = int(keras.ops.convert_to_numpy(self._optimizer.iterations))
        if done != step and not self._skips_steps:
            raise RuntimeError(f"the optimizer has done {done} steps, the run {step}")

    def _check_ours(self, checkpoint):
        path = os.path.join(self._folder.checkpoints, f"step-{checkpoint.step:08d}")
        difference = first_difference(checkpoint.config, self._config.model_dump(mode="json"))
        problems = [difference]
        try:
            check_tensors(self._variables, checkpoint.arrays, "its variables")
        except ValueError as error:
            problems.append(str(error))
        found = "; ".join(problem for problem in problems if problem)
        if checkpoint.description and self._description:
            check_classes(Description.from_json(checkpoint.description), self._description, path)
        if found:
            helps = continuation(self._folder, difference) if difference else ""
            other = f"Move it away, or name another --workdir{helps}"
            raise ConfigError(f"{path}: a checkpoint of another run: {found}. {other}")

    def _restore_best(self, state, checkpoint):
        """Rewrites the best weights if they differ from the checkpoint's best step, for example after a crash."""
        best = state.best.get("step")
        if best is None or self._best_on_disk() == best:
            return
        try:
            if best != checkpoint.step:
                checkpoint = read_checkpoint(os.path.join(self._folder.checkpoints, f"step-{best:08d}"))
            self._write_weights(self._folder.best_weights, network_arrays(checkpoint), best, _described(checkpoint))
        except (ValueError, OSError) as error:
            self._warn(
                f"the best weights, of step {best}, are lost; the next ones that are tested count as it ({error})"
            )
            state.best = {}

    def _best_on_disk(self):
        try:
            return int(read_metadata(self._folder.best_weights)["step"]) if is_file(self._folder.best_weights) else None
        except (ValueError, KeyError, OSError):
            return None

    def _write_best(self):
        """Writes the weights of the best evaluation, also if an earlier attempt failed."""
        if self._owed:
            owed = self._owed
            self._write_weights(self._folder.best_weights, network_arrays(owed), owed.step, _described(owed))
            self._owed = None

    def _write_weights(self, path, arrays, step, description):
        config = self._config.model_dump_json()
        strings = {"network": self._config.model.name, "step": str(step), "config": config, "keras_resnet": __version__}
        write_tensors(arrays, path, strings | (description.to_metadata() if description else describe(self._model)))

    def _guarded(self, act, must=False):
        try:
            act()
        except OSError as error:
            problem = self._disk_error(error)
            if must or self._config.recovery.on_save_error == "stop":
                raise problem from None
            self.saved = None
            self._warn(str(problem))

    def _disk_error(self, error):
        free = free_bytes(self._folder.checkpoints)
        room = "" if free is None else f", {_size(free)} are free"
        return DiskError(
            f"{self._folder.checkpoints}: cannot be written ({error.strerror}): a checkpoint takes "
            f"{_size(self._bytes())}{room}; the checkpoints before it are untouched"
        )

    def _bytes(self):
        return sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in self._variables.values())


def _described(checkpoint):
    """Returns the model description of a checkpoint; None if it has none, as of version 0.1."""
    return Description.from_json(checkpoint.description) if checkpoint.description else None


def _averages(model, optimizer):
    """Returns {averaged variable: array of a checkpoint with its average}; Keras relates the two only by name."""
    if not optimizer.use_ema:
        return {}
    arrays = {variable.name: f"optimizer/{variable.path}" for variable in optimizer.variables}
    return {each.path: arrays[f"{each.path.replace('/', '_')}_average"] for each in model.trainable_variables}


def _size(count):
    return f"{count / 2**20:.1f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"
