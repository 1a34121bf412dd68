"""Overlaps of boxes in NumPy and float64, for metrics and reports; `keras_resnet.boxes` has those of training."""

import numpy as np


def pairwise_iou(boxes, others) -> np.ndarray:
    """boxes (R, 4), others (S, 4) -> intersection over union (R, S)."""
    inside = _pairwise_intersection(boxes, others)
    return _ratio(inside, _area(boxes)[:, None] + _area(others)[None] - inside)


def pairwise_ioa(boxes, regions) -> np.ndarray:
    """boxes (R, 4), regions (S, 4) -> intersection over the area of `boxes` (R, S)."""
    return _ratio(_pairwise_intersection(boxes, regions), _area(boxes)[:, None])


def _pairwise_intersection(boxes, others):
    one, two = np.asarray(boxes, np.float64)[:, None], np.asarray(others, np.float64)[None]
    return np.maximum(np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2]), 0).prod(-1)


def _area(boxes):
    boxes = np.asarray(boxes, np.float64)
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(-1)


def _ratio(inside, area):
    return np.divide(inside, area, out=np.zeros_like(inside), where=area > 0)
