"""Collects the objects and detections of single images on the host, as arrays, for the metrics of detection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_resnet.inference.pasting import pasted
from keras_resnet.inference.postprocessing import have_area

RECALLS = np.linspace(0, 1, 101)  # of the precision-recall curves, as COCO has them


@dataclass(frozen=True)
class ImageResult:
    """The objects of an image and what a detector found in it, in pixels of the original image.

    Attributes:
        index: position of the image in its split.
        true_boxes: (R, 4) float32, y1 x1 y2 x2.
        true_classes: (R,) int32.
        true_areas: (R,) float32.
        ignored: (R,) bool: finding the object is neither right nor wrong; COCO's crowds, VOC's difficult objects.
        boxes: (D, 4) float32, highest score first.
        classes: (D,) int32.
        scores: (D,) float32.
        size: height and width of the image, if masks are measured.
        true_masks: R times, and
        masks: D times the run lengths of `keras_resnet.data.run_lengths`, if masks are measured.
    """

    index: int
    true_boxes: np.ndarray
    true_classes: np.ndarray
    true_areas: np.ndarray
    ignored: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    size: tuple[int, int] | None = None
    true_masks: tuple[bytes, ...] = ()
    masks: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class ClassResult:
    """What was measured for one class.

    Attributes:
        objects: number of its objects, without those to be ignored.
        ignored: number of those.
        detections: number of its detections.
        values: {metric: value}; None for a class without objects.
        precisions: (101,), the greatest precision at each of `RECALLS` or a higher recall, at an IoU of 0.5; 0 for a
            recall that is not reached. None for a class without objects.
        scores: (101,), the score from which detections count at that precision.
    """

    objects: int
    ignored: int
    detections: int
    values: dict[str, float | None]
    precisions: np.ndarray | None = None
    scores: np.ndarray | None = None


@dataclass(frozen=True)
class Measured:
    """The metrics of a split {name in `detection.metrics`: value}, and those of each class."""

    metrics: dict[str, float]
    classes: tuple[ClassResult, ...]


class Collector:
    """A `keras_resnet.task.Collector` of detections; keeps 24 bytes for a detection and 25 for an object.

    A mask becomes run lengths at once, a few hundred bytes.

    Args:
        measure: computes the metrics from the collected images.
        masks_of: index of an image in its split -> run lengths of its objects. None: masks are not measured.

    Attributes:
        images: the collected images, in the order of their split.
        measured: what `measure` returned, after `metrics`.
    """

    def __init__(
        self,
        measure: Callable[[Sequence[ImageResult]], Measured],
        masks_of: Callable[[int], Sequence[bytes]] | None = None,
    ):
        self._measure, self._masks_of, self._rows = measure, masks_of, 0
        self.images: list[ImageResult] = []
        self.measured: Measured | None = None

    def add(self, outputs: dict) -> None:
        """Adds the rows of one step, without detections that have no area in their image.

        Args:
            outputs: the objects "true_boxes" (N, R, 4), "true_classes", "true_areas", "true_ignored" and "true_valid"
                (N, R); the detections "boxes" (N, D, 4), "scores", "classes" (N, D) and "counts" (N,); "weights" (N,),
                0 for padding and unreadable images. Boxes are pixels of the original images. For masks, also "masks"
                (N, D, m, m) in the detections' boxes, and "sizes" (N, 2) of the original images.
        """
        for row in np.flatnonzero(outputs["weights"]):
            valid, count = outputs["true_valid"][row], outputs["counts"][row]
            true = [outputs[f"true_{name}"][row][valid] for name in ("boxes", "classes", "areas", "ignored")]
            rows = np.flatnonzero(have_area(outputs["boxes"][row, :count]))
            found = [outputs[name][row, rows] for name in ("boxes", "classes", "scores")]  # copies, not the batch
            index = self._rows + int(row)
            masks = _masks(outputs, row, rows, self._masks_of(index)) if self._masks_of else ()
            self.images.append(ImageResult(index, *true, *found, *masks))
        self._rows += len(outputs["weights"])

    def metrics(self) -> dict[str, float]:
        """Returns the metrics, without those that are not defined for these images."""
        self.measured = self._measure(self.images)
        return self.measured.metrics


def _masks(outputs, row, rows, true_masks):
    """Returns the size of an image, and the masks of its objects and detections."""
    height, width = outputs["sizes"][row].astype(int).tolist()
    found = pasted(outputs["masks"][row, rows], outputs["boxes"][row, rows], (height, width))
    return (height, width), tuple(true_masks), tuple(found)


def counts(images: Sequence[ImageResult], classes: int) -> list[dict[str, int]]:
    """Returns the numbers of "objects", "ignored" objects and "detections" of each class."""

    def of_classes(parts):
        return np.bincount(np.concatenate([np.zeros(0, np.int32), *parts]), minlength=classes).tolist()

    columns = {
        "objects": of_classes(each.true_classes[~each.ignored] for each in images),
        "ignored": of_classes(each.true_classes[each.ignored] for each in images),
        "detections": of_classes(each.classes for each in images),
    }
    return [dict(zip(columns, numbers, strict=True)) for numbers in zip(*columns.values(), strict=True)]
