"""Computes Pascal VOC's average precision, as VOC's development kit defines it.

| protocol | average precision of a class |
|---|---|
| voc07 | the mean of the greatest precision at a recall of 0, 0.1 to 1, or more (Everingham et al. 2010, section 4.2) |
| voc12 | the area under the curve of the greatest precision at each recall or a higher one; from VOC 2010 on |

The detections of a class are taken in the order of their scores. Each one belongs to the object of its class that it
overlaps most. With an IoU below 0.5 it is wrong. If the object is difficult, it does not count; if a detection before
it has the object, it is wrong; else it is right. Difficult objects do not count as objects.

The kit's boxes include their last pixel, so its width is xmax - xmin + 1. Boxes here are continuous and have their
width without 1 (`keras_resnet.data.voc` moves xmin and ymin by one pixel): the width is the same for the annotations.
"""

from collections.abc import Sequence

import numpy as np

from keras_resnet.detection.collector import RECALLS, ClassResult, ImageResult, Measured, counts
from keras_resnet.detection.overlaps import pairwise_iou

IOU = 0.5
_WRONG, _DIFFICULT = -1, -2  # instead of the number of an object


def voc_metrics(images: Sequence[ImageResult], classes: int, protocol: str) -> Measured:
    """Returns the mean over the classes that have objects, "voc07_ap" or "voc12_ap", and the values of each class."""
    name, average = f"{protocol}_ap", {"voc07": _eleven_points, "voc12": _area}[protocol]
    numbers = counts(images, classes)
    found = tuple(_of_class(images, i, numbers[i], name, average) for i in range(classes))
    values = [each.values[name] for each in found if each.values[name] is not None]
    return Measured({name: float(np.mean(values))} if values else {}, found)


def _of_class(images, number, numbers, name, average):
    objects = numbers["objects"]
    if not objects:
        return ClassResult(**numbers, values={name: None})
    scores, right = _in_order(images, number)
    hits = np.cumsum(right)
    precisions = hits / np.arange(1, len(hits) + 1)
    greatest = np.maximum.accumulate(precisions[::-1])[::-1]
    places = np.searchsorted(hits / objects, RECALLS)
    return ClassResult(
        **numbers,
        values={name: average(right, hits, greatest, objects)},
        precisions=np.append(greatest, 0.0)[places],
        scores=np.append(scores, 0.0)[places],
    )


def _in_order(images, number):
    """Returns the scores of a class's detections that count, highest first, and which of them are right."""
    scores, matches, objects = [np.zeros(0)], [np.zeros(0, np.int64)], 0
    for image in images:
        mine, true = image.classes == number, image.true_classes == number
        scores.append(image.scores[mine])
        matches.append(_matches(image.boxes[mine], image.true_boxes[true], image.ignored[true], objects))
        objects += int(true.sum())
    score, match = np.concatenate(scores), np.concatenate(matches)
    order = np.argsort(-score, kind="stable")
    order = order[match[order] != _DIFFICULT]
    right = np.zeros(len(order), bool)
    right[np.unique(match[order], return_index=True)[1]] = True  # the first detection of each object
    return score[order], right & (match[order] != _WRONG)


def _matches(boxes, true_boxes, difficult, first):
    """boxes (D, 4), objects (R,) of one image and class -> each box's object (D,), counted from `first`."""
    if not len(boxes) or not len(true_boxes):
        return np.full(len(boxes), _WRONG)
    overlaps = pairwise_iou(boxes, true_boxes)
    best = overlaps.argmax(1)
    match = np.where(difficult[best], _DIFFICULT, first + best)
    return np.where(overlaps.max(1) >= IOU, match, _WRONG)


def _eleven_points(right, hits, greatest, objects):
    """The recalls are compared as whole numbers: 3 of 10 objects are a recall of 0.3."""
    reached = (greatest[10 * hits >= tenths * objects] for tenths in range(11))
    return float(np.mean([each.max(initial=0.0) for each in reached]))


def _area(right, hits, greatest, objects):
    """The recall rises by 1 / objects at each right detection."""
    return float(greatest[right].sum() / objects)
