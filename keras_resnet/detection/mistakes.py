"""Matches detections with objects of any class, and counts confusions and the mistakes of single images.

The detections with a score of at least `SCORE` are taken in the order of their scores. Each one takes the object that
it overlaps most among those that none has taken, with an IoU of at least `IOU`; its class may be another one. A
detection that takes none is left out if half of it is in an object to be ignored; otherwise it is false.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_resnet.detection.collector import ImageResult
from keras_resnet.detection.overlaps import pairwise_ioa, pairwise_iou

SCORE, IOU = 0.5, 0.5
FALSE, LEFT_OUT = -1, -2


@dataclass(frozen=True)
class Matches:
    """The matches of an image.

    Attributes:
        image: the image.
        objects: (D,), of each detection with a score of at least `SCORE`: its object, `FALSE` or `LEFT_OUT`.
    """

    image: ImageResult
    objects: np.ndarray

    @property
    def missed(self) -> np.ndarray:
        """Returns (R,) bool: the objects that no detection takes, without those to be ignored."""
        return ~self.image.ignored & ~np.isin(np.arange(len(self.image.ignored)), self.objects)

    @property
    def right(self) -> np.ndarray:
        """Returns (D,) bool: the detections of an object with its class."""
        classes = np.append(self.image.true_classes, -1)  # of `FALSE` and `LEFT_OUT`
        return classes[np.maximum(self.objects, -1)] == self.image.classes[: len(self.objects)]

    def counts(self) -> dict[str, int]:
        """Returns the numbers of objects, and of mistakes by kind."""
        return {
            "objects": int((~self.image.ignored).sum()),
            "missed": int(self.missed.sum()),
            "false": int((self.objects == FALSE).sum()),
            "wrong class": int(((self.objects >= 0) & ~self.right).sum()),
        }

    @property
    def mistakes(self) -> int:
        """Returns the number of missed objects, false detections and objects with a wrong class."""
        counts = self.counts()
        return counts["missed"] + counts["false"] + counts["wrong class"]


def match(image: ImageResult) -> Matches:
    """Returns the matches of an image."""
    shown = image.scores >= SCORE
    count = int(shown.sum())  # the best are first
    overlaps = pairwise_iou(image.boxes[:count], image.true_boxes)
    overlaps[:, image.ignored] = 0
    covered = pairwise_ioa(image.boxes[:count], image.true_boxes[image.ignored]).max(1, initial=0) >= IOU
    objects = np.where(covered, LEFT_OUT, FALSE)
    for i in range(count):
        best = int(overlaps[i].argmax()) if len(image.true_boxes) else 0
        if overlaps[i].max(initial=0) >= IOU:
            objects[i] = best
            overlaps[:, best] = 0
    return Matches(image, objects)


def confusion(matches: Sequence[Matches], classes: int) -> np.ndarray:
    """Returns counts (classes + 1, classes + 1): true classes in rows, predicted ones in columns; background is last.

    Missed objects are predicted as background; false detections have the background as their true class.
    """
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for each in matches:
        counts = each.objects != LEFT_OUT
        true = np.append(each.image.true_classes, classes)[each.objects[counts]]  # FALSE is the last
        np.add.at(matrix, (true, each.image.classes[: len(counts)][counts]), 1)
        np.add.at(matrix[:, classes], each.image.true_classes[each.missed], 1)
    return matrix


def worst(matches: Sequence[Matches]) -> list[Matches]:
    """Returns the images with mistakes, most mistakes first; of equal ones, the first of the split first."""
    return sorted((each for each in matches if each.mistakes), key=lambda each: -each.mistakes)
