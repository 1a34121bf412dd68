"""The errors of localization, with values that a reader computes in the head."""

import pathlib
import types

import numpy as np
import pytest

from keras_resnet.localization.collector import Collector, center_boxes, is_right
from keras_resnet.localization.evaluation import Evaluation, _center_box_right

TRUE = [0, 0, 10, 10]
HALF = [0, 0, 10, 5]  # an IoU of exactly 0.5, which is right
LESS = [0, 0, 10, 4]
ELSEWHERE = [20, 20, 30, 30]

# label, its boxes, the three (class, box) pairs, the box of the true class -> the metrics in which it is wrong
CASES = {
    "first pair": (1, [TRUE], [(1, HALF), (2, TRUE), (0, TRUE)], HALF, set()),
    "third pair": (
        1,
        [TRUE],
        [(0, TRUE), (2, TRUE), (1, TRUE)],
        TRUE,
        {"top1_localization_error", "error"},
    ),
    "class right, box too small": (
        1,
        [TRUE],
        [(1, LESS), (2, TRUE), (0, TRUE)],
        LESS,
        {"topk_localization_error", "top1_localization_error", "oracle_error"},
    ),
    "class not among the three": (
        3,
        [TRUE],
        [(1, TRUE), (2, TRUE), (0, TRUE)],
        TRUE,
        {"topk_localization_error", "top1_localization_error", "error", "topk_error"},
    ),
    "second box of the image": (1, [ELSEWHERE, TRUE], [(1, TRUE), (2, LESS), (0, LESS)], TRUE, set()),
}


def outputs(*cases):
    """The outputs of a step with these images and a row of padding, whose second true box is padding or not."""
    rows = []
    for label, true, pairs, oracle, _ in cases:
        valid = [True, len(true) > 1]
        rows.append((label, [*true, [0, 0, 10, 5]][:2], valid, *zip(*pairs, strict=True), oracle))
    rows.append((0, [TRUE, TRUE], [True, True], (0, 1, 2), (TRUE,) * 3, TRUE))
    labels, true, valid, classes, boxes, oracle = zip(*rows, strict=True)
    return {
        "labels": np.array(labels, np.int32),
        "true_boxes": np.array(true, np.float32),
        "valid": np.array(valid),
        "classes": np.array(classes, np.int32),
        "scores": np.tile(np.float32([0.5, 0.3, 0.1]), (len(rows), 1)),
        "boxes": np.array(boxes, np.float32),
        "oracle_boxes": np.array(oracle, np.float32),
        "sizes": np.full((len(rows), 2), 40, np.float32),
        "weights": np.array([1.0] * len(cases) + [0.0], np.float32),
    }


@pytest.mark.parametrize("name", CASES)
def test_image_is_wrong_in_these_metrics(name):
    collector = Collector()
    collector.add(outputs(CASES[name]))
    metrics = collector.metrics()
    assert {metric for metric, value in metrics.items() if value == 100} == CASES[name][-1]
    assert set(metrics.values()) <= {0, 100}


def test_errors_are_percent_of_the_images_of_all_steps():
    collector = Collector()
    first, *others = CASES.values()
    collector.add(outputs(first))
    collector.add(outputs(*others))
    assert collector.metrics() == {
        "topk_localization_error": 40,
        "oracle_error": 20,
        "top1_localization_error": 60,
        "error": 40,
        "topk_error": 20,
    }
    assert collector.answers().indices.tolist() == [0, 2, 3, 4, 5]


def test_no_image_has_no_error():
    collector = Collector()
    collector.add(outputs())
    assert collector.metrics() == {}


def test_padding_is_no_true_box():
    boxes = np.array([[HALF]], np.float32)
    true = np.array([[ELSEWHERE, HALF]], np.float32)
    assert is_right(boxes, true, np.array([[True, True]])).tolist() == [[True]]
    assert is_right(boxes, true, np.array([[True, False]])).tolist() == [[False]]


def test_center_box_has_the_mean_share_of_the_image():
    boxes = center_boxes(np.array([[40.0, 80.0]]), np.array([0.5, 0.25]))
    assert boxes.tolist() == [[[10, 30, 30, 50]]]
    collector = Collector()
    collector.add(outputs((1, [[15, 15, 25, 25]], [(1, TRUE)] * 3, TRUE, set()), CASES["first pair"]))
    assert _center_box_right(collector.answers(), np.array([0.25, 0.25])).tolist() == [True, False]


def test_report_tells_classes_of_one_name_apart(tmp_path):
    """Two of ImageNet's classes are called crane, the bird and the machine."""
    evaluation = Evaluation(None, "test", "single", (), None)
    split = types.SimpleNamespace(source=lambda i: f"a/{i}.png")
    images = types.SimpleNamespace(split=lambda name: split)
    evaluation._task = types.SimpleNamespace(labels=("crane", "dog", "cat", "crane"), images=images)
    evaluation._collected.add(outputs(CASES["class not among the three"], CASES["third pair"]))
    _, classes, wrong = evaluation.write_report(str(tmp_path), {})
    rows = pathlib.Path(classes).read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [
        ["crane (0)", "0"],
        ["dog", "1"],
        ["cat", "0"],
        ["crane (3)", "1"],
    ]
    rows = pathlib.Path(wrong).read_text().splitlines()
    assert rows[1].startswith("a/0.png,crane (3),dog,")
    assert rows[2] == 'a/1.png,dog,crane (0),"top1_localization_error, error"'
