"""Computes COCO's average precision and recall with pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_resnet.data.coco_masks import mask_tools
from keras_resnet.detection.collector import ClassResult, ImageResult, Measured, counts
from keras_resnet.errors import ConfigError

LEAST_DETECTIONS = 100  # of a class and image that count in COCO's metrics; more where a detector answers more


class CocoMetrics:
    """Computes COCO's metrics from the images of a `Collector`: for boxes, and for masks as "mask_ap" and so on.

    Args:
        classes: number of classes.
        detections: greatest number of detections per image. If it is more than 100, average precision counts them all,
            even of one class, and "ar_max" is the average recall of them all.
        masks: measure masks too.

    Raises:
        ConfigError: pycocotools is not installed.
    """

    def __init__(self, classes: int, detections: int = LEAST_DETECTIONS, masks: bool = False):
        self._classes, self._coco, self._masks = classes, _pycocotools(), masks
        self._limits = [1, 10, LEAST_DETECTIONS] + [detections] * (detections > LEAST_DETECTIONS)

    def __call__(self, images: Sequence[ImageResult]) -> Measured:
        """Returns the metrics, without those of sizes that no object has."""
        arrays = self._evaluate(images, "bbox")
        values = {name: _mean(value) for name, value in _parts(arrays["precision"], arrays["recall"]).items()}
        numbers = counts(images, self._classes)
        classes = [_of_class(numbers[i], arrays, i) for i in range(self._classes)]
        if self._masks:
            precision = self._evaluate(images, "segm")["precision"]
            values |= {f"mask_{name}": _mean(value) for name, value in _precisions(precision).items()}
            of_class = [_mean(precision[:, :, i, 0, -1]) for i in range(self._classes)]
            classes = [
                replace(each, values=each.values | {"mask_ap": ap}) for each, ap in zip(classes, of_class, strict=True)
            ]
        return Measured({name: value for name, value in values.items() if value is not None}, tuple(classes))

    def _evaluate(self, images, kind):
        """Returns pycocotools' arrays: precisions and scores (thresholds, recalls, classes, sizes, limits), recalls.

        Recalls have no second axis. A value is -1 where there is no object.
        """
        coco, evaluation = self._coco
        annotations, results = _rows(images, mask_tools() if kind == "segm" else None)
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            truth, found = coco(), coco()
            categories = [{"id": i, "name": str(i)} for i in range(1, self._classes + 1)]
            sizes = [dict(zip(("height", "width"), image.size or (), strict=False)) for image in images]
            pictures = [{"id": i} | size for i, size in enumerate(sizes, 1)]
            truth.dataset = {"images": pictures, "annotations": annotations, "categories": categories}
            found.dataset = truth.dataset | {"annotations": results}
            truth.createIndex()
            found.createIndex()
            measured = evaluation(truth, found, kind)
            measured.params.maxDets = self._limits
            measured.evaluate()
            measured.accumulate()
        return {name: measured.eval[name] for name in ("precision", "scores", "recall")}


def _of_class(numbers, arrays, i):
    precision = arrays["precision"][:, :, i, 0, -1]
    values = {"ap": _mean(precision), "ap50": _mean(precision[0])}
    if values["ap50"] is None:
        return ClassResult(**numbers, values=values)
    return ClassResult(**numbers, values=values, precisions=precision[0], scores=arrays["scores"][0, :, i, 0, -1])


def _precisions(precision):
    """Returns {metric: what it is the mean of}; IoU thresholds are 0.5, 0.55 to 0.95."""
    parts = {"ap": precision[..., 0, -1], "ap50": precision[0, ..., 0, -1], "ap75": precision[5, ..., 0, -1]}
    return parts | {f"ap_{size}": precision[..., i, -1] for i, size in enumerate(("small", "medium", "large"), 1)}


def _parts(precision, recall):
    parts = _precisions(precision)
    names = ("ar1", "ar10", "ar100", "ar_max")[: recall.shape[-1]]
    return parts | {name: recall[..., 0, i] for i, name in enumerate(names)}


def _mean(values):
    defined = values[values > -1]
    return float(np.mean(defined)) if defined.size else None


def _rows(images, masks=None):
    """Returns COCO's annotations and results; ids begin at 1, since pycocotools takes the id 0 for "no match".

    With `masks`, pycocotools' functions for them, they have masks, and a result's area is that of its mask.
    """
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        for i, (box, label, area, ignored) in enumerate(
            zip(image.true_boxes, image.true_classes, image.true_areas, image.ignored, strict=True)
        ):
            row = {"image_id": number, "category_id": int(label) + 1, "bbox": xywh(box), "area": float(area)}
            mask = {"segmentation": segmentation(image.true_masks[i], image.size)} if masks else {}
            annotations.append({"id": len(annotations) + 1, "iscrowd": int(ignored)} | row | mask)
        for i, (box, label, score) in enumerate(zip(image.boxes, image.classes, image.scores, strict=True)):
            bbox = xywh(box)
            row = {"image_id": number, "category_id": int(label) + 1, "bbox": bbox, "area": bbox[2] * bbox[3]}
            if masks:
                mask = segmentation(image.masks[i], image.size)
                row |= {"segmentation": mask, "area": float(masks.area(mask))}
            results.append({"id": len(results) + 1, "iscrowd": 0, "score": float(score)} | row)
    return annotations, results


def segmentation(mask: bytes, size: tuple[int, int] | None) -> dict:
    """Run lengths of an image of this height and width -> COCO's form."""
    assert size is not None
    return {"size": list(size), "counts": mask.decode()}


def xywh(box) -> list[float]:
    """y1 x1 y2 x2 -> x, y, width and height, COCO's form of a box."""
    y1, x1, y2, x2 = map(float, box)
    return [x1, y1, x2 - x1, y2 - y1]


def _pycocotools():
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ConfigError("the task detection needs pycocotools: pip install 'keras_resnet[detection]'") from None
    return COCO, COCOeval
