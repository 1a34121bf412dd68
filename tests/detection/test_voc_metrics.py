"""The average precision of Pascal VOC and ImageNet DET: values computed by hand, and the kits' loops written out."""

from functools import partial

import numpy as np
import pytest
from made_results import collected, random_steps, step

from keras_resnet.detection.overlaps import pairwise_ioa, pairwise_iou
from keras_resnet.detection.voc_metrics import voc_metrics

A, B, C, D = ((10 * i, 0, 10 * i + 8, 20) for i in range(4))
FAR = (100, 100, 120, 120)


def measured(*steps, classes=1, protocol="voc12"):
    collector = collected(partial(voc_metrics, classes=classes, protocol=protocol), *steps)
    collector.metrics()
    return collector.measured


def precision(*steps, protocol="voc12"):
    return measured(*steps, protocol=protocol).metrics[f"{protocol}_ap"]


# Right, twice the same, difficult, right, nothing there, right, difficult; D is not found. Precision 1, 1/2, 2/3, 1/2
# and 3/5 at a recall of 1/4, 1/4, 2/4, 2/4 and 3/4.
TWO_IMAGES = (
    step([(A, 0), (B, 0)], [(A, 0, 0.9), (A, 0, 0.8), (B, 0, 0.4)]),
    step([(A, 0), (D, 0), (C, 0, True)], [(C, 0, 0.7), (A, 0, 0.6), (FAR, 0, 0.5), (C, 0, 0.3)]),
)


@pytest.mark.parametrize(
    ("protocol", "value"), [("voc07", (3 * 1 + 3 * 2 / 3 + 2 * 0.6) / 11), ("voc12", (1 + 2 / 3 + 0.6) / 4)]
)
def test_average_precision_by_hand(protocol, value):
    assert precision(*TWO_IMAGES, protocol=protocol) == pytest.approx(value, abs=1e-12)
    (found,) = measured(*TWO_IMAGES, protocol=protocol).classes
    assert (found.objects, found.ignored, found.detections) == (4, 1, 7)
    assert found.precisions[[0, 25, 26, 50, 51, 75, 76]] == pytest.approx([1, 1, 2 / 3, 2 / 3, 0.6, 0.6, 0])
    assert found.scores[[0, 50, 75, 76]] == pytest.approx([0.9, 0.6, 0.4, 0])


def test_detection_belongs_to_the_object_it_overlaps_most():
    """Of a difficult object: it does not count, even if it overlaps another one too; of a taken object: it is wrong."""
    near, difficult, found = (0, 0, 10, 14), (0, 0, 10, 10), (0, 0, 10, 11)  # IoU 11/14 and 10/11
    assert precision(step([(near, 0), (difficult, 0, True)], [(found, 0, 0.9)])) == 0.0
    assert precision(step([(near, 0), (difficult, 0, True)], [(found, 0, 0.9), (near, 0, 0.8)])) == 1.0
    both = [(difficult, 0), (near, 0)]
    assert precision(step(both, [(difficult, 0, 0.9), (found, 0, 0.8)])) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    ("box", "found", "right"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 2.5), True),  # 10 x 10 / (20 x 20) is 0.25, as the IoU
        ((0, 0, 10, 10), (0, 0, 10, 2.4), False),
        ((0, 0, 5, 40), (0, 0, 5, 10.8), True),  # 5 x 40 / (15 x 50) is 0.267
        ((0, 0, 5, 40), (0, 0, 5, 10.4), False),
        ((0, 0, 30, 30), (0, 0, 30, 15), True),  # 900 / 1,600 is more than 0.5
        ((0, 0, 30, 30), (0, 0, 30, 14.9), False),
    ],
)
def test_imagenet_det_asks_for_less_overlap_with_small_objects(box, found, right):
    assert precision(step([(box, 0)], [(found, 0, 0.9)]), protocol="imagenet_det") == right


def test_imagenet_det_detection_takes_a_free_object():
    """The second one overlaps the first object most, which is taken: VOC has one of two right, DET both."""
    near, taken, found = (0, 0, 10, 14), (0, 0, 10, 10), (0, 0, 10, 11)  # IoU 11/14 and 10/11
    both = step([(taken, 0), (near, 0)], [(found, 0, 0.8), (taken, 0, 0.9)])
    assert precision(both) == pytest.approx(0.5, abs=1e-12)
    assert precision(both, protocol="imagenet_det") == 1.0
    three = step([(taken, 0), (near, 0)], [(found, 0, 0.8), (taken, 0, 0.9), (taken, 0, 0.7)])
    assert precision(three, protocol="imagenet_det") == 1.0
    ignored = step([(taken, 0, True), (FAR, 0)], [(taken, 0, 0.9), (taken, 0, 0.8), (FAR, 0, 0.7)])
    assert precision(ignored, protocol="imagenet_det") == 1.0


def test_recall_of_3_of_10_reaches_the_fourth_of_11_points():
    """3 * 0.1 is more than 0.3 in floating point."""
    objects = [((20 * i, 0, 20 * i + 10, 10), 0) for i in range(10)]
    found = [(box, label, 0.9) for box, label in objects[:3]]
    assert precision(step(objects, found), protocol="voc07") == pytest.approx(4 / 11, abs=1e-12)


def test_width_of_a_box_has_no_additional_pixel():
    """4/9 is no match, where the kit's 50/100 of the same numbers would be; an IoU of exactly 0.5 is one."""
    assert precision(step([((0, 0, 9, 9), 0)], [((0, 0, 9, 4), 0, 0.9)])) == 0.0
    assert precision(step([((0, 0, 10, 10), 0)], [((0, 0, 10, 5), 0, 0.9)])) == 1.0


def test_class_without_objects_has_no_value():
    found = measured(step([(A, 1), (B, 2, True)], [(A, 0, 0.9), (A, 1, 0.9)]), classes=3)
    assert [each.values["voc12_ap"] for each in found.classes] == [None, 1.0, None]
    assert found.metrics == {"voc12_ap": 1.0}
    assert measured(step([], [(A, 0, 0.9)])).metrics == {}
    assert precision(step([(A, 0)], [])) == 0.0


def by_the_kit(steps, label, protocol):
    """VOCevaldet.m and VOCap.m, line by line, without + 1 in widths."""
    objects, detections, positives = [], [], 0
    for image, each in enumerate(steps):
        mine = each["true_valid"][0] & (each["true_classes"][0] == label)
        objects.append(
            [
                [box, bool(hard), False]
                for box, hard in zip(each["true_boxes"][0][mine], each["true_ignored"][0][mine], strict=True)
            ]
        )
        positives += sum(not hard for _, hard, _ in objects[-1])
        count = each["counts"][0]
        rows = zip(each["scores"][0, :count], each["boxes"][0, :count], each["classes"][0, :count], strict=True)
        detections += [(score, image, box) for score, box, number in rows if number == label]
    right = []
    det = protocol == "imagenet_det"
    for _, image, (y1, x1, y2, x2) in sorted(detections, key=lambda row: -row[0]):
        most, best = -np.inf, None
        for each in objects[image]:
            top, left, bottom, far = each[0]
            height, width = min(y2, bottom) - max(y1, top), min(x2, far) - max(x1, left)
            if height > 0 and width > 0:
                union = (y2 - y1) * (x2 - x1) + (bottom - top) * (far - left) - height * width
                box_height, box_width = bottom - top, far - left
                least = min(0.5, box_height * box_width / ((box_height + 10) * (box_width + 10))) if det else 0.0
                if height * width / union > most and height * width / union >= least and not (det and each[2]):
                    most, best = height * width / union, each
        matched = best is not None and (det or most >= 0.5)
        if matched and best[1]:
            continue
        right.append(matched and not best[2])
        if matched:
            best[2] = True
    hits = np.cumsum(right)
    recall, found = hits / positives, hits / np.arange(1, len(hits) + 1)
    if protocol == "voc07":
        return np.mean([max(found[recall >= t - 1e-9], default=0) for t in np.arange(11) / 10])
    recall, found = np.concatenate([[0], recall, [1]]), np.concatenate([[0], found, [0]])
    for i in range(len(found) - 2, -1, -1):
        found[i] = max(found[i], found[i + 1])
    changes = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return np.sum((recall[changes] - recall[changes - 1]) * found[changes])


@pytest.mark.parametrize("protocol", ["voc07", "voc12", "imagenet_det"])
def test_metrics_equal_the_development_kit(protocol):
    steps = random_steps(images=30)
    expected = [by_the_kit(steps, label, protocol) for label in range(2)]
    found = measured(*steps, classes=2, protocol=protocol)
    assert [each.values[f"{protocol}_ap"] for each in found.classes] == pytest.approx(expected, abs=1e-12)
    assert found.metrics[f"{protocol}_ap"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert min(expected) > 0.1


def test_overlaps_by_hand():
    boxes, others = [(0, 0, 4, 4), (5, 5, 5, 9)], [(0, 0, 4, 8), (2, 2, 6, 6), (8, 8, 9, 9)]
    assert pairwise_iou(boxes, others) == pytest.approx(np.array([[0.5, 4 / 28, 0], [0, 0, 0]]))
    assert pairwise_ioa(boxes, others) == pytest.approx(np.array([[1, 0.25, 0], [0, 0, 0]]))
