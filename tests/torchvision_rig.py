"""Arrays that torchvision 0.28's detection code computed, from `python tests/golden/detection/make_torchvision.py`."""

import functools

import numpy as np
from conftest import GOLDEN

HEIGHT, WIDTH = 96, 128


@functools.cache
def _all():
    with np.load(GOLDEN / "detection" / "torchvision.npz") as file:
        return dict(file)


def arrays(group):
    """Returns the arrays of a group by name."""
    return {name.removeprefix(f"{group}/"): each for name, each in _all().items() if name.startswith(f"{group}/")}


def yxyx(boxes):
    """Boxes (x1, y1, x2, y2) or deltas (dx, dy, dw, dh) -> ours, y first."""
    return boxes[..., [1, 0, 3, 2]]


def channels_last(features):
    """features (N, C, h, w) -> (N, h, w, C)."""
    return np.moveaxis(features, 1, -1)
