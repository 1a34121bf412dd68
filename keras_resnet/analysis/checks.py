"""Statements that figures can refute.

Networks that learned nothing are in no order, whatever their figures: every comparison also asks that the better side
errs on less than half of what guessing does. A learning rate of 0 therefore fulfils none of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """Attributes: claim, a sentence; holds; figures, what it was decided by."""

    claim: str
    holds: bool
    figures: str


def check_lower(claim: str, low: Sequence[float], high: Sequence[float], chance: float) -> Check:
    """Holds where `low` is below `high` for every seed: with five seeds, once in 32 times by chance.

    Args:
        claim: what is stated.
        low, high: errors in percent, a pair per seed.
        chance: error of guessing, in percent.
    """
    holds = bool(np.less(low, high).all()) and _learnt(low, chance)
    pairs = int(np.less(low, high).sum())
    return Check(claim, holds, f"{_mean(low)} below {_mean(high)} for {pairs} of {len(low)} seeds{_note(low, chance)}")


def check_no_worse(
    claim: str, first: Sequence[float], second: Sequence[float], margin: float, chance: float, both: bool = False
) -> Check:
    """Holds where the mean of `first` is at most `margin` percentage points above that of `second`.

    `both`: `second` has to have learned too, so that its failure to learn is no proof.
    """
    excess = float(np.mean(first) - np.mean(second))
    worse = max(first, second, key=np.mean) if both else first
    holds = excess <= margin and _learnt(worse, chance)
    text = f"{_mean(first)} against {_mean(second)}: {excess:+.2f} points, allowed {margin:+.2f}{_note(worse, chance)}"
    return Check(claim, holds, text)


def ends_alike(claim: str, first: Sequence[float], second: Sequence[float], margin: float, chance: float) -> Check:
    """Holds where the means are at most `margin` percentage points apart."""
    apart = abs(float(np.mean(first) - np.mean(second)))
    better = min(first, second, key=np.mean)
    text = f"{_mean(first)} and {_mean(second)}: {apart:.2f} points apart, allowed {margin:.2f}{_note(better, chance)}"
    return Check(claim, apart <= margin and _learnt(better, chance), text)


def agrees(claim: str, ours: float, published: float, digits: int, unit: str = "") -> Check:
    """Holds where `ours` differs from what was published, rounded or cut to `digits`, by less than the last digit."""
    holds = abs(ours - published) < 10**-digits
    return Check(claim, holds, f"{ours:.{digits + 2}f}{unit} against {published:.{digits}f}{unit}")


def check_within(claim: str, ours: float, published: float, share: float, unit: str = "") -> Check:
    """Holds where `ours` differs from what was published by at most a share of it."""
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
