"""A loss that is no number or explodes: noticing it, and remembering what was done about it."""

import json
import math
from dataclasses import asdict, dataclass, field

from keras_resnet.config import Recovery
from keras_resnet.errors import ConfigError
from keras_resnet.files import read, write_aside


@dataclass(frozen=True)
class Divergence:
    """What is known of one.

    Attributes:
        step: the step that it shows in.
        loss: of that step, over its images.
        gradient_norm: of that step, over all weights.
        learning_rate: of that step; filled in by who knows it.
        samples: the images of that step, by where they lie.
        rolled_back_to: the step that the run went on from; None where it stopped.
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
    """Carries a `Divergence` from where it is noticed to the loop."""

    def __init__(self, found: Divergence):
        super().__init__(str(found))
        self.found = found


def find_divergence(steps: list[dict[str, float]], last: int, first_loss: float | None, max_loss_ratio: float | None):
    """Looks at the steps since the last time.

    Args:
        steps: their sums, in order: "loss" and "images" over the global batch, "gradient_norm".
        last: the number of the last of them.
        first_loss: the mean loss of the run's first step, where it is known.
        max_loss_ratio: how many times `first_loss`, taken as 1 at least, the mean loss of the steps may be; None: no
            limit.

    Returns:
        A `Divergence` of the first step that has no number, or of the worst of steps that explode together; else None.
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
    """divergences.json: every one so far. How often a run rolled back decides its learning rate, also after a restart.

    Args:
        path: the file.
        recovery: what the configuration says.
        writes: whether this process is the one that writes.
    """

    def __init__(self, path: str, recovery: Recovery, writes: bool):
        self._path, self._recovery, self._writes = path, recovery, writes
        try:
            self._found = [Divergence(**found) for found in json.loads(read(self._path))]
        except FileNotFoundError:
            self._found = []
        except (ValueError, TypeError):
            raise ConfigError(f"{path}: is not what a run writes there; move it away to go on") from None

    @property
    def rollbacks(self) -> int:
        """How often the run went back."""
        return sum(found.rolled_back_to is not None for found in self._found)

    @property
    def may_roll_back(self) -> bool:
        """Whether the configuration has the run go back once more."""
        return self._recovery.on_divergence == "roll_back" and self.rollbacks < self._recovery.max_rollbacks

    @property
    def learning_rate_factor(self) -> float:
        """What the learning rate is multiplied with by now."""
        return self._recovery.learning_rate_factor**self.rollbacks

    def add(self, found: Divergence) -> None:
        """Keeps one more; one that stopped the run takes the place of those that did so before."""
        self._found = [former for former in self._found if former.rolled_back_to is not None] + [found]
        # NaN is no JSON, and is what is to be told here: numbers that are none become texts.
        rows = [{name: _plain(value) for name, value in asdict(each).items()} for each in self._found]
        if self._writes:
            write_aside(self._path, (json.dumps(rows, indent=1) + "\n").encode())


def _plain(value):
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
