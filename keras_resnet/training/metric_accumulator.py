"""What steps report, added up until it is told."""

from collections.abc import Callable

from keras_resnet.runs.state import RunState
from keras_resnet.training.divergence import Diverged, find_divergence
from keras_resnet.training.evaluation import add
from keras_resnet.training.skipped import SkippedImages


class MetricAccumulator:
    """Collects the sums of steps, which may still lie on their devices, and looks at them now and then.

    Args:
        task: what is learned.
        warn: hears of images that are left out.
    """

    def __init__(self, task, warn: Callable[[str], None]):
        self._task = task
        self._max_loss_ratio = task.config.recovery.max_loss_ratio
        self._steps: list[dict] = []
        self.skipped = SkippedImages(task, warn)

    def count(self, sums: dict) -> None:
        """Takes the sums of one more step."""
        self._steps.append(sums)

    def forget(self, state: RunState) -> None:
        """Starts again from a state that was kept."""
        self._steps, self.skipped.lines = [], set(state.skipped)

    def settle(self, state: RunState) -> None:
        """Adds the steps since the last time to what is pending, once they are known to be sound.

        Raises:
            Diverged: they are not.
            DataError: too many images were left out.
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
        """The figures of everything pending, which is told by that."""
        sums, state.pending = state.pending, {}
        return self._task.summarize(sums) | {"gradient_norm": sums["gradient_norm"] / sums["steps"]}
