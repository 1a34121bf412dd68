"""Pastes the masks of objects into their image, without TensorFlow."""

import math
from collections.abc import Iterator

import numpy as np

from keras_resnet.data.run_lengths import encode

THRESHOLD = 0.5  # from which a pixel belongs to the object


def pasted(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> Iterator[bytes]:
    """masks (R, m, m) in [0, 1], one for each of the boxes (R, 4), y1 x1 y2 x2 in pixels -> R times run lengths.

    A mask fills its box: a pixel whose center is in the box has the value of the mask there, by bilinear interpolation
    between the centers of its cells. Outside of the box, nothing belongs to the object.

    Args:
        masks: probability of each cell.
        boxes: in pixels of the image.
        size: height and width of the image.

    Yields:
        The run lengths of `keras_resnet.data.run_lengths` of the whole image.
    """
    for mask, box in zip(masks, boxes, strict=True):
        (top, rows), (left, columns) = (_weights(box[i], box[i + 2], size[i], mask.shape[0]) for i in (0, 1))
        yield encode(rows @ mask.astype(np.float32) @ columns.T >= THRESHOLD, (top, left), size)


def _weights(low, high, size, cells):
    """Returns the first pixel between `low` and `high`, and the weights (pixels, cells) of the cells there."""
    first, last = max(math.ceil(low - 0.5), 0), min(math.ceil(high - 0.5), size)
    centers = np.arange(first, max(first, last)) + 0.5
    place = np.clip((centers - low) / max(high - low, 1e-6) * cells - 0.5, 0, cells - 1)
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0)
    return first, weights.astype(np.float32)
