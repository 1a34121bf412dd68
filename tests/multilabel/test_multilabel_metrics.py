"""Tests of average precision, thresholds and F1 on values that a reader can compute."""

import numpy as np
import pytest

from keras_resnet.description import Description, Preprocessing
from keras_resnet.multilabel.collector import Collector
from keras_resnet.multilabel.metrics import average_precisions, best_thresholds, by_class, constant_map, measure
from keras_resnet.specs import SPECS

# Class 0: ranked 1 0 1 0, class 1: no positive image, class 2: all positive images first.
TARGETS = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]], bool)
SCORES = np.array([[0.9, 0.5, 0.1], [0.7, 0.4, 0.8], [0.6, 0.3, 0.6], [0.2, 0.2, 0.3]], np.float32)


def test_average_precision_is_the_mean_precision_at_the_positives():
    found = average_precisions(TARGETS, SCORES)
    assert found[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert np.isnan(found[1])
    assert found[2] == 1


def test_constant_map_is_the_mean_share_of_positives():
    assert constant_map(TARGETS) == 0.5
    assert np.nanmean(average_precisions(TARGETS, np.full((4, 3), 0.3))) == pytest.approx(0.5)


def test_best_thresholds_maximize_f1_halfway_to_the_next_lower_score():
    # Class 0: F1 at 0.9 is 2/3, at 0.7 1/2, at 0.6 4/5, at 0.2 2/3. Class 2: 1 at 0.6.
    np.testing.assert_allclose(best_thresholds(TARGETS, SCORES), [0.4, 0.5, 0.45], rtol=1e-6)
    everything = np.array([[1], [1], [0]], bool)
    assert best_thresholds(everything, np.array([[0.2], [0.2], [0.2]]))[0] == pytest.approx(0.1)


def test_measure_at_thresholds_is_the_f1_of_classes_with_positives():
    found = measure(TARGETS, SCORES, np.array([0.65, 0.45, 0.45]))
    # Class 0: of answers 0 and 1, 0 is right, 2 is missed: F1 1/2. Class 2: 1. Class 1 has one wrong answer.
    assert found == pytest.approx({"map": 11 / 12, "f1": 0.75, "micro_f1": 2 * 3 / (2 * 3 + 2 + 1)})
    assert measure(np.zeros((2, 3), bool), SCORES[:2], np.full(3, 0.5)) == {}


def test_by_class_has_precision_and_recall_at_the_threshold():
    rows = by_class(TARGETS, SCORES, np.array([0.65, 0.45, 0.45]), ("a", "b", "c"))
    assert rows[0] == pytest.approx(
        {"class": "a", "images": 2, "answers": 2, "average_precision": 5 / 6, "threshold": 0.65}
        | {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    )
    assert (rows[1]["average_precision"], rows[1]["answers"], rows[1]["f1"]) == (None, 1, 0)


def outputs(rows, weights):
    return {"targets": TARGETS[rows].astype(np.float32), "scores": SCORES[rows], "weights": np.array(weights)}


def test_collector_leaves_padding_out_and_puts_thresholds_into_the_description():
    collector = Collector()
    collector.add(outputs([0, 1], [1, 1]))
    collector.add(outputs([2, 3, 0], [1, 1, 0]))  # the last row is padding
    assert collector.kept.tolist() == [0, 1, 2, 3]
    assert collector.metrics() == pytest.approx(
        {"map": 11 / 12, "f1": (4 / 5 + 1) / 2, "micro_f1": 2 * 4 / (2 * 4 + 2)}
    )
    about = Description(spec=SPECS["cifar_resnet8"], preprocessing=Preprocessing(), labels=("a", "b", "c"))
    described = collector.calibrated(about)
    assert described.thresholds == pytest.approx((0.4, 0.5, 0.45))
    assert Description.from_metadata(described.to_metadata()) == described
    assert "thresholds" not in about.to_json()


def test_collector_with_thresholds_measures_at_these():
    collector = Collector((0.65, 0.45, 0.45))
    collector.add(outputs([0, 1, 2, 3], [1, 1, 1, 1]))
    assert collector.metrics()["f1"] == pytest.approx(0.75)


def test_collector_without_a_readable_image_has_no_metrics():
    collector = Collector()
    collector.add(outputs([0, 1], [0, 0]))
    assert collector.metrics() == {}
