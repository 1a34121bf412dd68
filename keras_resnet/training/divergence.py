"""Detection of a non-finite or exploding loss, and the record of rollbacks in divergences.json."""

import json
import math
from dataclasses import asdict, dataclass, field

from keras_resnet.config import Recovery
from keras_resnet.errors import ConfigError
from keras_resnet.files import read, write_atomically


@dataclass(frozen=True)
class Divergence:
    """One divergence of a run.

    Attributes:
        step: the step in which it was detected.
        loss: the mean loss over the images of that step.
        gradient_norm: the gradient norm of that step, over all weights.
        learning_rate: the learning rate of that step; the training loop fills it in.
        samples: the locations of that step's images.
        rolled_back_to: the step that the run resumed from; None if it stopped.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float | None = None
    samples: list[str] = field(default_factory=list)
    rolled_back_to: int | None = None

    def __str__(self):
        rate = "" if self.learning_rate is None else f" at a learning rate of {self.learning_rate:g}"
        return f"step {self.step}: the loss is {self.loss:g}{rate}, the gradient's norm {self.gradient_norm:g}"


class Diverged(Exception):
    """Signals a `Divergence` to the training loop."""

    def __init__(self, found: Divergence):
        super().__init__(str(found))
        self.found = found


def find_divergence(steps: list[dict[str, float]], last: int, first_loss: float | None, max_loss_ratio: float | None):
    """Checks the steps since the last check for divergence.

    Args:
        steps: the sums of each step, in order: "loss" and "images" over the global batch, "gradient_norm".
        last: the number of the last step.
        first_loss: the mean loss of the run's first step, if known.
        max_loss_ratio: the largest allowed ratio of the steps' mean loss to `first_loss`, which counts as at least 1;
            None: no limit.

    Returns:
        A `Divergence` for the first step with a non-finite value, or for the step with the largest loss if the mean
        loss explodes; else None.
    """
    counted = [(number, sums) for number, sums in enumerate(steps, last - len(steps) + 1) if sums["images"]]
    losses = {number: sums["loss"] / sums["images"] for number, sums in counted}
    for number, sums in counted:
        if not (math.isfinite(losses[number]) and math.isfinite(sums["gradient_norm"])):
            return Divergence(number, losses[number], sums["gradient_norm"])
    if max_loss_ratio is None or first_loss is None or not losses:
        return None
    if sum(losses.values()) / len(losses) <= max_loss_ratio * max(first_loss, 1.0):
        return None
    worst = max(losses, key=lambda number: losses[number])
    return Divergence(worst, losses[worst], dict(counted)[worst]["gradient_norm"])


class Divergences:
    """Records the divergences of a run in divergences.json.

    The number of rollbacks determines the learning rate, also after a restart.

    Args:
        path: the file.
        recovery: the group `recovery` of the configuration.
        writes: whether this process writes files.
    """

    def __init__(self, path: str, recovery: Recovery, writes: bool):
        self._path, self._recovery, self._writes = path, recovery, writes
        try:
            self._found = [Divergence(**found) for found in json.loads(read(self._path))]
        except FileNotFoundError:
            self._found = []
        except (ValueError, TypeError):
            raise ConfigError(f"{path}: is not a run's file; move it away to continue") from None

    @property
    def rollbacks(self) -> int:
        """Returns the number of rollbacks so far."""
        return sum(found.rolled_back_to is not None for found in self._found)

    @property
    def may_roll_back(self) -> bool:
        """Returns whether the configuration allows another rollback."""
        return self._recovery.on_divergence == "roll_back" and self.rollbacks < self._recovery.max_rollbacks

    @property
    def learning_rate_factor(self) -> float:
        """Returns the current factor on the learning rate."""
        return self._recovery.learning_rate_factor**self.rollbacks

    def add(self, found: Divergence) -> None:
        """Adds a divergence; one that stopped the run replaces earlier ones that did."""
        self._found = [former for former in self._found if former.rolled_back_to is not None] + [found]
        # JSON has no NaN or infinity, so non-finite numbers are written as strings.
        rows = [{name: _plain(value) for name, value in asdict(each).items()} for each in self._found]
        if self._writes:
            write_atomically(self._path, (json.dumps(rows, indent=1) + "\n").encode())


def _plain(value):
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
