"""Anchors of a feature map, as NumPy constants."""

from typing import Literal, NamedTuple

import numpy as np


class _Convention(NamedTuple):
    offset: float  # from the corner of a cell to its anchors' center, in strides
    rounded: bool  # whether the anchor around (0, 0) has integer corners
    outer: str  # what varies slowest among the anchors of a cell


# Weights of a detector are only valid with the anchors that it was trained with.
_CONVENTIONS = {
    "tf_models": _Convention(0.5, False, "size"),
    "torchvision": _Convention(0.0, True, "ratio"),
    "detectron2": _Convention(0.0, False, "size"),
}


def cell_anchors(sizes, ratios, rounded=False, outer="size"):
    """Returns anchors around the point (0, 0), shape (A, 4) float32.

    Args:
        sizes: square roots of the areas in pixels.
        ratios: height / width.
        rounded: round corners to integers, halves to even.
        outer: "size" lists all ratios of the first size first, "ratio" all sizes of the first ratio.
    """
    sides, roots = np.asarray(sizes, np.float64)[:, None], np.sqrt(np.asarray(ratios, np.float64))[None]
    halves = np.stack([sides * roots, sides / roots], axis=-1) / 2  # (sizes, ratios, 2)
    if outer == "ratio":
        halves = halves.swapaxes(0, 1)
    halves = halves.reshape(-1, 2)
    if rounded:
        halves = np.round(halves)
    return np.concatenate([-halves, halves], axis=1).astype(np.float32)


def level_anchors(
    feature_shape, stride, sizes, ratios, convention: Literal["tf_models", "torchvision", "detectron2"] = "tf_models"
):
    """Returns the anchors of a feature map by row, column and shape: (h * w * A, 4) float32, A = sizes * ratios.

    Args:
        feature_shape: h and w of the feature map.
        stride: pixels of the image per cell.
        sizes: square roots of the areas in pixels.
        ratios: height / width.
        convention: "tf_models" centers anchors in the cell. "detectron2" centers them at the upper left corner of the
            cell. "torchvision" does so too, and rounds the corners of the anchors around (0, 0).

    Raises:
        ValueError: for an unknown convention.
    """
    if convention not in _CONVENTIONS:
        raise ValueError(f"convention is {convention!r}; allowed are {', '.join(_CONVENTIONS)}")
    offset, rounded, outer = _CONVENTIONS[convention]
    shapes = cell_anchors(sizes, ratios, rounded, outer)
    y, x = ((np.arange(cells) + offset) * stride for cells in feature_shape)
    centers = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
    centers = np.concatenate([centers, centers], axis=-1)[:, :, None]  # (h, w, 1, 4)
    return (centers + shapes).reshape(-1, 4).astype(np.float32)
