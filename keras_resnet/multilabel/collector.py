"""Collects the scores of a split on the host; computes its metrics and, on the validation split, thresholds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_resnet.description import Description
from keras_resnet.multilabel.metrics import best_thresholds, measure


class Collector:
    """A `keras_resnet.task.Collector` of scores; it keeps 8 bytes for each image and class.

    Args:
        thresholds: (K,), the score from which on a class is an answer; None to choose those of the best F1.
    """

    def __init__(self, thresholds: Sequence[float] | None = None):
        self._given = None if thresholds is None else np.asarray(thresholds, np.float32)
        self._rows: list[tuple[np.ndarray, ...]] = []

    def add(self, outputs: dict) -> None:
        """Adds "scores" and "targets" (N, K) of one step, and "weights" (N,), 0 for padding."""
        self._rows.append((outputs["targets"] >= 0.5, outputs["scores"], outputs["weights"]))

    def _columns(self):
        return [np.concatenate(column) for column in zip(*self._rows, strict=True)]

    @property
    def kept(self) -> np.ndarray:
        """Returns the positions (N,) in the split of the images that could be read."""
        return np.flatnonzero(self._columns()[2])

    @property
    def targets(self) -> np.ndarray:
        """Returns whether each image has each label, (N, K) bool; a probability of 0.5 counts as one."""
        return self._columns()[0][self.kept]

    @property
    def scores(self) -> np.ndarray:
        """Returns the scores (N, K) float32."""
        return self._columns()[1][self.kept]

    @property
    def thresholds(self) -> np.ndarray:
        """Returns the thresholds (K,) float32."""
        return best_thresholds(self.targets, self.scores) if self._given is None else self._given

    def metrics(self) -> dict[str, float]:
        """Returns the metrics over all images; none if no image could be read or none has a label."""
        return measure(self.targets, self.scores, self.thresholds) if len(self.kept) else {}

    def calibrated(self, description: Description) -> Description:
        """Returns the description with the thresholds."""
        thresholds = tuple(map(float, self.thresholds)) if len(self.kept) else description.thresholds
        return replace(description, thresholds=thresholds)
