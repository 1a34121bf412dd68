"""Accumulates per-step metrics between log lines."""

from collections.abc import Callable

from keras_resnet.runs.state import RunState
from keras_resnet.training.divergence import Diverged, find_divergence
from keras_resnet.training.evaluation import add
from keras_resnet.training.skipped import SkippedImages


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

    def figures(self, state: RunState) -> dict[str, float]:
        """Returns the metrics over the pending sums, and clears these."""
        sums, state.pending = state.pending, {}
        return self._task.summarize(sums) | {"gradient_norm": sums["gradient_norm"] / sums["steps"]}
