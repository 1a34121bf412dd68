"""Computes COCO's average precision and recall with pycocotools."""

import contextlib
import io
import math

import numpy as np

from keras_resnet.errors import ConfigError

# Positions in COCOeval.stats.
_STATS = {
    "ap": 0,
    "ap50": 1,
    "ap75": 2,
    "ap_small": 3,
    "ap_medium": 4,
    "ap_large": 5,
    "ar1": 6,
    "ar10": 7,
    "ar100": 8,
}


class CocoCollector:
    """Collects detections and objects of single images, and computes COCO's metrics for boxes.

    Args:
        labels: the class names.

    Raises:
        ConfigError: pycocotools is not installed.
    """

    def __init__(self, labels: tuple[str, ...]):
        self._labels = labels
        self._coco = _pycocotools()
        self._images: list[dict] = []
        self._annotations: list[dict] = []
        self._results: list[dict] = []

    def add(self, outputs: dict) -> None:
        """Adds the rows of one step.

        Args:
            outputs: the objects "true_boxes" (N, R, 4), "true_classes", "true_areas", "true_ignored" and "true_valid"
                (N, R); the detections "boxes" (N, D, 4), "scores", "classes" (N, D) and "counts" (N,); "weights" (N,),
                0 for padding. Boxes are pixels of the original images.
        """
        for row in np.flatnonzero(outputs["weights"]):
            image = len(self._images) + 1
            self._images.append({"id": image})
            for i in np.flatnonzero(outputs["true_valid"][row]):
                self._annotations.append(
                    {
                        "id": len(self._annotations) + 1,  # pycocotools takes the id 0 for "no match"
                        "image_id": image,
                        "category_id": int(outputs["true_classes"][row, i]) + 1,
                        "bbox": _xywh(outputs["true_boxes"][row, i]),
                        "area": float(outputs["true_areas"][row, i]),
                        "iscrowd": int(outputs["true_ignored"][row, i]),
                    }
                )
            for found in range(outputs["counts"][row]):
                box = _xywh(outputs["boxes"][row, found])
                self._results.append(
                    {
                        "id": len(self._results) + 1,
                        "image_id": image,
                        "category_id": int(outputs["classes"][row, found]) + 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                        "score": float(outputs["scores"][row, found]),
                    }
                )

    def metrics(self) -> dict[str, float]:
        """Returns the metrics of `detection.metrics`, without those of sizes that no object has."""
        coco, evaluation = self._coco
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            truth, found = coco(), coco()
            categories = [{"id": i, "name": name} for i, name in enumerate(self._labels, 1)]
            truth.dataset = {"images": self._images, "annotations": self._annotations, "categories": categories}
            found.dataset = truth.dataset | {"annotations": self._results}
            truth.createIndex()
            found.createIndex()
            measured = evaluation(truth, found, "bbox")
            measured.evaluate()
            measured.accumulate()
            measured.summarize()
        values = {name: float(measured.stats[i]) for name, i in _STATS.items()}
        return {name: value for name, value in values.items() if value >= 0 and math.isfinite(value)}


def _xywh(box):
    y1, x1, y2, x2 = map(float, box)
    return [x1, y1, x2 - x1, y2 - y1]


def _pycocotools():
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ConfigError("the task detection needs pycocotools: pip install 'keras_resnet[detection]'") from None
    return COCO, COCOeval
