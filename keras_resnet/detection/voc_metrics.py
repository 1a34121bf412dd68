"""Computes the average precision of Pascal VOC and of ImageNet DET, as their development kits define it.

| protocol | average precision of a class |
|---|---|
| voc07 | the mean of the greatest precision at a recall of 0, 0.1 to 1, or more (Everingham et al. 2010, section 4.2) |
| voc12 | the area under the curve of the greatest precision at each recall or a higher one; from VOC 2010 on |
| imagenet_det | as voc12, with detections matched as in Russakovsky et al. 2015, section 4.3 |

VOC: the detections of a class are taken in the order of their scores. Each one belongs to the object of its class that
it overlaps most. With an IoU below 0.5 it is wrong. If the object is difficult, it does not count; if a detection
before it has the object, it is wrong; else it is right. Difficult objects do not count as objects.

ImageNet DET: each detection, in that order, takes the object that it overlaps most of those that no other one has and
that it overlaps by min(0.5, h w / ((h + 10) (w + 10))) or more: 0.25 for an object of 10 x 10 pixels. If there is
none, it is wrong.

The kit's boxes include their last pixel, so its width is xmax - xmin + 1. Boxes here are continuous and have their
width without 1 (`keras_resnet.data.voc` moves xmin and ymin by one pixel): the width is the same for the annotations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from keras_resnet.detection.collector import RECALLS, ClassResult, ImageResult, Measured, counts
from keras_resnet.detection.overlaps import pairwise_iou

IOU = 0.5
_WRONG, _DIFFICULT = -1, -2  # instead of the number of an object


def voc_metrics(images: Sequence[ImageResult], classes: int, protocol: str) -> Measured:
    """Returns the mean over the classes that have objects, named "voc07_ap" for voc07, and the values of each class."""
    name, rules = f"{protocol}_ap", _PROTOCOLS[protocol]
    numbers = counts(images, classes)
    found = tuple(_of_class(images, i, numbers[i], name, rules) for i in range(classes))
    values = [each.values[name] for each in found if each.values[name] is not None]
    return Measured({name: float(np.mean(values))} if values else {}, found)


def _of_class(images, number, numbers, name, rules):
    objects = numbers["objects"]
    if not objects:
        return ClassResult(**numbers, values={name: None})
    scores, right = _in_order(images, number, rules.match)
    hits = np.cumsum(right)
    precisions = hits / np.arange(1, len(hits) + 1)
    greatest = np.maximum.accumulate(precisions[::-1])[::-1]
    places = np.searchsorted(hits / objects, RECALLS)
    return ClassResult(
        **numbers,
        values={name: rules.average(right, hits, greatest, objects)},
        precisions=np.append(greatest, 0.0)[places],
        scores=np.append(scores, 0.0)[places],
    )


def _in_order(images, number, match_objects):
    """Returns the scores of a class's detections that count, highest first, and which of them are right."""
    scores, matches, objects = [np.zeros(0)], [np.zeros(0, np.int64)], 0
    for image in images:
        mine, true = image.classes == number, image.true_classes == number
        scores.append(image.scores[mine])
        order = np.argsort(-image.scores[mine], kind="stable")
        match = np.full(len(order), _WRONG)
        if len(order) and true.any():
            overlaps = pairwise_iou(image.boxes[mine][order], image.true_boxes[true])
            found = match_objects(overlaps, image.true_boxes[true], image.ignored[true])
            match[order] = np.where(found >= 0, found + objects, found)
        matches.append(match)
        objects += int(true.sum())
    score, match = np.concatenate(scores), np.concatenate(matches)
    order = np.argsort(-score, kind="stable")
    order = order[match[order] != _DIFFICULT]
    right = np.zeros(len(order), bool)
    right[np.unique(match[order], return_index=True)[1]] = True  # the first detection of each object
    return score[order], right & (match[order] != _WRONG)


def _most_overlapped(overlaps, true_boxes, difficult):
    """overlaps (D, R) of an image's detections, best first, with objects of their class -> each one's object (D,)."""
    best = overlaps.argmax(1)
    return np.where(overlaps.max(1) >= IOU, np.where(difficult[best], _DIFFICULT, best), _WRONG)


def _most_overlapped_free(overlaps, true_boxes, difficult):
    """As `_most_overlapped`, by the rules of ImageNet DET. It has no difficult objects; here they are always free."""
    sides = (true_boxes[:, 2:] - true_boxes[:, :2]).astype(np.float64)
    least = np.minimum(IOU, (sides / (sides + 10)).prod(1))
    free = np.where(overlaps >= least, overlaps, -1.0)
    match = np.full(len(overlaps), _WRONG)
    for row, of_row in enumerate(free):
        best = of_row.argmax()
        if of_row[best] < 0:
            continue
        match[row] = _DIFFICULT if difficult[best] else best
        free[:, best] = np.where(difficult[best], free[:, best], -1.0)
    return match


def _eleven_points(right, hits, greatest, objects):
    """The recalls are compared as whole numbers: 3 of 10 objects are a recall of 0.3."""
    reached = (greatest[10 * hits >= tenths * objects] for tenths in range(11))
    return float(np.mean([each.max(initial=0.0) for each in reached]))


def _area(right, hits, greatest, objects):
    """The recall rises by 1 / objects at each right detection."""
    return float(greatest[right].sum() / objects)


class _Rules(NamedTuple):
    """How a protocol matches detections with objects, and averages the precision."""

    match: Callable
    average: Callable


_PROTOCOLS = {
    "voc07": _Rules(_most_overlapped, _eleven_points),
    "voc12": _Rules(_most_overlapped, _area),
    "imagenet_det": _Rules(_most_overlapped_free, _area),
}
