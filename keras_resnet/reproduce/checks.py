"""Checks: claims that measured values can refute.

A comparison of networks that learned nothing has no meaning. Every comparison of errors therefore also requires that
the better side's error is less than half of the error of chance, so none holds at a learning rate of 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """Attributes: claim, a sentence; holds, whether it is true; figures, the values that decide it."""

    claim: str
    holds: bool
    figures: str


def check_lower(claim: str, low: Sequence[float], high: Sequence[float], chance: float) -> Check:
    """Checks that `low` is below `high` for every seed.

    With five seeds, equally good networks pass once in 32 times.

    Args:
        claim: the statement.
        low, high: errors in percent, one pair per seed.
        chance: error of chance, in percent.
    """
    holds = bool(np.less(low, high).all()) and _learnt(low, chance)
    pairs = int(np.less(low, high).sum())
    return Check(claim, holds, f"{_mean(low)} below {_mean(high)} for {pairs} of {len(low)} seeds{_note(low, chance)}")


def check_no_worse(
    claim: str, first: Sequence[float], second: Sequence[float], margin: float, chance: float, both: bool = False
) -> Check:
    """Checks that the mean of `first` is at most `margin` percentage points above the mean of `second`.

    `both` requires that `second` has learned too, so its failure to learn does not confirm the claim.
    """
    excess = float(np.mean(first) - np.mean(second))
    worse = max(first, second, key=np.mean) if both else first
    holds = excess <= margin and _learnt(worse, chance)
    text = f"{_mean(first)} against {_mean(second)}: {excess:+.2f} points, allowed {margin:+.2f}{_note(worse, chance)}"
    return Check(claim, holds, text)


def ends_alike(claim: str, first: Sequence[float], second: Sequence[float], margin: float, chance: float) -> Check:
    """Checks that the means differ by at most `margin` percentage points."""
    apart = abs(float(np.mean(first) - np.mean(second)))
    better = min(first, second, key=np.mean)
    text = f"{_mean(first)} and {_mean(second)}: {apart:.2f} points apart, allowed {margin:.2f}{_note(better, chance)}"
    return Check(claim, apart <= margin and _learnt(better, chance), text)


def agrees(claim: str, ours: float, published: float, digits: int, unit: str = "") -> Check:
    """Checks that `ours` and `published`, which is rounded or cut to `digits`, differ by less than the last digit."""
    holds = abs(ours - published) < 10**-digits
    return Check(claim, holds, f"{ours:.{digits + 2}f}{unit} against {published:.{digits}f}{unit}")


def check_within(claim: str, ours: float, published: float, share: float, unit: str = "") -> Check:
    """Checks that `ours` differs from `published` by at most `share` of it."""
    off = ours / published - 1
    text = f"{ours:.4g}{unit} against {published:g}{unit}: {off:+.1%}, allowed {share:.0%}"
    return Check(claim, abs(off) <= share, text)


def _learnt(errors, chance):
    return float(np.mean(errors)) < chance / 2


def _note(errors, chance):
    return "" if _learnt(errors, chance) else "; nothing was learned that could be compared"


def _mean(errors):
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    return f"{np.mean(errors):.2f} %{spread}"
