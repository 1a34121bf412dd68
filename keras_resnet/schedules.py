"""Provides the table of learning rate schedules that `train.schedule` selects from.

A schedule is a function (rate, step, settings) -> rate after the warm-up. `rate` is the highest learning rate and
`step` the number of steps done, both scalar float tensors. `settings` is a `Schedule` with the total number of `steps`,
`warmup_steps` and `milestones`. The module imports Keras on first use only.
"""

import math
from collections.abc import Callable
from typing import NamedTuple


def at_milestones(rate, step, settings):
    """Multiplies the rate by 0.1 at each milestone."""
    from keras import ops

    for milestone in settings.milestones:
        rate = ops.where(step >= round(milestone * settings.steps), rate * 0.1, rate)
    return rate


def cosine(rate, step, settings):
    """Decreases the rate to 0 along half a period of a cosine, from the end of the warm-up to the last step."""
    from keras import ops

    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return rate * (1 + ops.cos(math.pi * ops.clip(done, 0, 1))) / 2


class ScheduleRow(NamedTuple):
    """Attributes: rate, the function; text, its description for the configuration key."""

    rate: Callable
    text: str


SCHEDULES = {
    "step": ScheduleRow(at_milestones, "times 0.1 at each milestone"),
    "cosine": ScheduleRow(cosine, "to 0 at the end"),
    "constant": ScheduleRow(lambda rate, step, settings: rate, "no change"),
}
