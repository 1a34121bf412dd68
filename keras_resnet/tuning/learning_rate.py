"""The learning rate range test (Smith 2017, section 3.3): training while the learning rate grows in every step."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_resnet.config import Config
from keras_resnet.config.loading import changed

SMOOTHED = 0.1  # share of the steps over which losses are averaged
STOP_RATIO = 4.0  # the test ends when the average is this many times its lowest value
BELOW_LOWEST = 10.0  # the suggestion is the rate of the lowest average divided by this number
_LEAST_DECREASE = 0.02  # share of the first loss by which the average must decrease


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Attributes:
        rates: the learning rate of each step that was taken.
        losses: the mean loss of each step's batch.
        averages: the moving average of the losses.
        suggestion: the learning rate to start with; None if the loss did not decrease.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    averages: tuple[float, ...]
    suggestion: float | None


def growing_rates(first: float, last: float, steps: int) -> list[float]:
    """Returns `steps` learning rates from `first` to `last`, each the same multiple of the one before."""
    return [float(rate) for rate in np.geomspace(first, last, steps)]


def moving_averages(losses: Sequence[float], decay: float) -> list[float]:
    """Returns the exponential moving average after each loss, without the bias of its start from 0."""
    average, found = 0.0, []
    for count, loss in enumerate(losses, 1):
        average = decay * average + (1 - decay) * loss
        found.append(average / (1 - decay**count))
    return found


def suggested_rate(rates: Sequence[float], averages: Sequence[float]) -> float | None:
    """Returns a tenth of the rate at which the average of the losses is lowest, to two digits.

    Returns:
        The rate; None if the average never decreases by 2 % of its first value.
    """
    lowest = int(np.argmin(averages))
    if not averages[lowest] < averages[0] - _LEAST_DECREASE * abs(averages[0]):
        return None
    return float(f"{rates[lowest] / BELOW_LOWEST:.1e}")


def range_config(config: Config, steps: int) -> Config:
    """Returns the configuration of a run of `steps` steps with the learning rate 1, which the test multiplies."""
    return changed(
        config,
        [
            f"train.steps={steps}",
            "train.warmup_steps=0",
            "train.warmup_learning_rate=null",
            "train.warmup_start_factor=null",
            "train.schedule=constant",
            "train.learning_rate=1.0",
            "train.base_batch_size=null",
            "train.ema_decay=0",
            "train.ema_every=1",
            "train.precise_bn_batches=0",
        ],
    )


def range_test(
    task, strategy, rates: Sequence[float], track: Callable[[Iterable], Iterable] = lambda batches: batches
) -> RangeTest:
    """Trains a new model for one step at each learning rate.

    The test ends early where the loss is not finite, or its average is `STOP_RATIO` times the lowest.

    Args:
        task: a task with a `range_config`.
        strategy: the distribution strategy.
        rates: the growing learning rates.
        track: yields the batches, and may show progress.

    Raises:
        DataError: an image is unreadable.
    """
    from keras_resnet.data.pipeline import training_batches
    from keras_resnet.training.optimizer import build_model_and_optimizer
    from keras_resnet.training.steps import make_train_step

    model, optimizer = build_model_and_optimizer(task, strategy)
    task.start_from(model)
    step = make_train_step(task, model, optimizer, strategy)
    factor = getattr(optimizer, "inner_optimizer", optimizer).learning_rate_factor
    decay = max(1 - 1 / (SMOOTHED * len(rates)), 0)
    losses: list[float] = []
    averages: list[float] = []
    for rate, batch in zip(rates, track(training_batches(task, strategy, 0)), strict=False):
        factor.assign(rate)
        sums = {name: float(value) for name, value in step(batch).items()}
        loss = sums["loss"] / sums["images"] if sums["images"] else math.nan
        if not math.isfinite(loss):
            break
        losses.append(loss)
        averages = moving_averages(losses, decay)
        if averages[-1] > STOP_RATIO * min(averages):
            break
    taken = tuple(rates[: len(losses)])
    return RangeTest(taken, tuple(losses), tuple(averages), suggested_rate(taken, averages) if losses else None)
