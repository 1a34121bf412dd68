"""Metrics of training steps between log lines, and of whole splits; counts of skipped images."""

from collections.abc import Callable

import numpy as np

from keras_resnet.data.pipeline import evaluation_outputs
from keras_resnet.errors import DataError
from keras_resnet.runs.checkpoints import RunState
from keras_resnet.task import Collector
from keras_resnet.training.divergence import Diverged, find_divergence
from keras_resnet.training.steps import make_eval_step


class Interrupted(Exception):
    """Signals that an evaluation was asked to stop."""


class Evaluator:
    """Evaluates a model on a task's splits; traces its step once.

    Args:
        task: the task to evaluate.
        model: the network.
        strategy: the distribution strategy.
        should_stop: called before every step; the evaluation raises `Interrupted` if it returns True.
        step: batch -> what `make_eval_step` returns; default a step that is traced.
    """

    def __init__(
        self,
        task,
        model,
        strategy,
        should_stop: Callable[[], bool] = lambda: False,
        step: Callable[..., dict] | None = None,
    ):
        self._task, self._strategy, self._should_stop = task, strategy, should_stop
        self._step = step or make_eval_step(task, model, strategy)

    def __call__(
        self,
        split: str,
        collector: Collector | None = None,
        track: Callable = lambda batches, images, batch_size: batches,
    ) -> dict[str, float]:
        """Returns the metrics of a split, with every image counted once.

        Args:
            split: name of the split.
            collector: receives the tensors of single images; default the task's.
            track: (iterable of batches, number of images, batch size) -> the same batches; may show progress.
        """
        task = self._task
        batch_size = task.config.eval.batch_size
        outputs = evaluation_outputs(
            self._step_unless_stopped,
            self._strategy,
            lambda shard: task.eval_dataset(split, shard),
            batch_size=batch_size,
            steps=task.eval_steps(split),
            image_errors=lambda step: task.eval_image_errors(split, step),
        )
        sums, collector = [], collector or task.collector(split)
        for of_step in track(outputs, task.sizes[split], batch_size):
            sums.append({name: value for name, value in of_step.items() if not value.shape.rank})
            if collector:
                collector.add({name: value.numpy() for name, value in of_step.items() if value.shape.rank})
        return task.summarize(add(sums)) | (collector.metrics() if collector else {})

    def _step_unless_stopped(self, batch):
        if self._should_stop():
            raise Interrupted
        return self._step(batch)


def add(steps: list[dict]) -> dict[str, float]:
    """Sums of single steps [{name: ()}] -> their sums in float64."""
    return {name: float(np.sum([float(sums[name]) for sums in steps])) for name in steps[0]} if steps else {}


class SkippedImages:
    """Warns about each skipped image once, and ends a run that skips too many.

    Attributes:
        lines: "location: problem" for every skipped image so far.
    """

    def __init__(self, task, warn: Callable[[str], None]):
        self._task, self._warn = task, warn
        self.lines: set[str] = set()

    def count(self, sums: list[dict], step: int) -> None:
        """Checks the sums of the last steps before `step`: a step with fewer images than its batch size skipped some.

        Raises:
            DataError: more than `data.max_skipped` images were skipped.
        """
        config = self._task.config
        if config.data.on_unreadable_image != "skip":
            return
        for number, of_step in enumerate(sums, step - len(sums)):
            if float(of_step["images"]) < config.train.batch_size:
                for line in sorted(set(self._task.train_image_errors(number)) - self.lines):
                    self.lines.add(line)
                    self._warn(f"skipped: {line}")
        if len(self.lines) > config.data.max_skipped:
            raise DataError(
                f"{len(self.lines)} images cannot be read, more than data.max_skipped: {config.data.max_skipped}; "
                f"`keras-resnet verify-data {config.data.name}` lists all"
            )


class MetricAccumulator:
    """Collects the sums of steps, which may still be on their devices, until they are accumulated.

    Args:
        task: the task.
        warn: receives a line for each skipped image.
    """

    def __init__(self, task, warn: Callable[[str], None]):
        self._task = task
        self._max_loss_ratio = task.config.recovery.max_loss_ratio
        self._steps: list[dict] = []
        self.skipped = SkippedImages(task, warn)

    def count(self, sums: dict) -> None:
        """Adds the sums of one step."""
        self._steps.append(sums)

    def forget(self, state: RunState) -> None:
        """Discards the collected steps and continues from a restored state."""
        self._steps, self.skipped.lines = [], set(state.skipped)

    def flush(self, state: RunState) -> None:
        """Checks the steps since the last call and adds their sums to `state.pending`.

        Raises:
            Diverged: the loss is not finite or explodes.
            DataError: too many images were skipped.
        """
        steps, self._steps = self._steps, []
        self.skipped.count(steps, state.step)
        state.skipped = sorted(self.skipped.lines)
        sums = [{name: float(value) for name, value in of_step.items()} for of_step in steps]
        if sums and state.first_loss is None and sums[0]["images"]:
            state.first_loss = sums[0]["loss"] / sums[0]["images"]
        found = find_divergence(sums, state.step, state.first_loss, self._max_loss_ratio)
        if found:
            raise Diverged(found)
        for name, value in add(sums).items():
            state.pending[name] = state.pending.get(name, 0.0) + value

    def metrics(self, state: RunState) -> dict[str, float]:
        """Returns the metrics over the pending sums, and clears these."""
        sums, state.pending = state.pending, {}
        return self._task.summarize(sums) | {"gradient_norm": sums["gradient_norm"] / sums["steps"]}
