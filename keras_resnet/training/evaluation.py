"""Evaluates a network for `keras-resnet evaluate` with the metrics of its task alone; tasks may have their own."""

import os
from collections.abc import Callable, Iterator

from keras_resnet.reports import write_json
from keras_resnet.task import Collector
from keras_resnet.training.metrics import Evaluator


class Evaluation:
    """The evaluation of one network on a split.

    Args:
        strategy: the strategy of the devices.
        split: name of the split.
        protocol: one of the task's protocols in `TASKS`.
        scales: shorter sides of the protocol multi_scale, where the task has one.
        track: (iterable of batches, number of images, batch size) -> the same batches; may show progress.

    Attributes:
        ensembles: whether `add` takes several networks, whose outputs are averaged.
    """

    ensembles = False

    def __init__(self, strategy, split: str, protocol: str, scales: tuple[int, ...], track: Callable):
        self._strategy, self._split, self._protocol, self._track = strategy, split, protocol, track
        self._measured: dict[str, float] | None = None

    def add(self, task, model, path: str) -> None:
        """Evaluates a network; `path` names it in errors.

        Raises:
            DataError: an image cannot be read.
        """
        self._task = task
        self._measured = self._measure(task, model)

    def _measure(self, task, model) -> dict[str, float]:
        """Returns the metrics of the split."""
        return Evaluator(task, model, self._strategy)(self._split, self._collector(task), self._track)

    def _collector(self, task) -> Collector | None:
        """Returns the collector of the evaluation's protocol."""
        return task.collector(self._split)

    def measured(self) -> dict:
        """Returns the metrics for JSON."""
        return self._measured or {}

    def lines(self) -> Iterator[str]:
        """Yields the metrics as text, one a line."""
        for name, value in (self._measured or {}).items():
            metric = self._task.metrics[name]
            yield f"{metric.short or name.replace('_', ' '):<10}  {metric.text(value)}"

    def write_report(self, folder: str, content: dict) -> list[str]:
        """Writes `content` as evaluation.json, and returns the paths of what was written."""
        os.makedirs(folder, exist_ok=True)
        return [write_json(os.path.join(folder, "evaluation.json"), content)]
