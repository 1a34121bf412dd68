"""COCO's metrics of collected detections: values that follow from the definition, and pycocotools called directly."""

import contextlib
import io
import json

import numpy as np
import pytest
from made_results import collected, random_steps, step

from keras_resnet.detection.coco_metrics import CocoMetrics, xywh

BOX, FAR = (10, 20, 50, 50), (100, 100, 140, 150)


def metrics(*steps):
    return collected(CocoMetrics(2), *steps).metrics()


def test_metrics_of_absent_sizes_and_of_no_objects_are_left_out():
    assert "ap_large" not in metrics(step([(BOX, 0)], [(BOX, 0, 0.9)]))
    assert metrics(step([], [(BOX, 0, 0.9)])) == {}


def test_wrong_class_and_swapped_axes_give_no_precision():
    assert metrics(step([(BOX, 0)], [(BOX, 1, 0.9)]))["ap"] == 0.0
    assert metrics(step([(BOX, 0)], [((20, 10, 50, 50), 0, 0.9)]))["ap75"] == 0.0


def test_padding_images_do_not_count_but_have_an_index():
    collector = collected(
        CocoMetrics(2), step([(FAR, 1)], [], weights=(0,)), step([(BOX, 0)], [(BOX, 0, 0.9)]), step([], [])
    )
    assert collector.metrics()["ap"] == pytest.approx(1, abs=1e-12)
    assert [image.index for image in collector.images] == [1, 2]


def test_detection_without_area_in_its_image_does_not_count():
    """It was found beside the image, in its letterbox; the next one is right."""
    box = (10, 10, 20, 30)
    images = collected(CocoMetrics(1), step([(box, 0)], [((40, 0, 40, 30), 0, 0.9), (box, 0, 0.8)]))
    assert images.metrics()["ap"] == pytest.approx(1)
    assert images.images[0].scores.tolist() == pytest.approx([0.8])


def test_classes_have_their_own_values_and_counts():
    """Class 0: one of two objects is found. Class 1: a detection, and an object to be ignored. Class 2: nothing."""
    steps = step([(BOX, 0), (FAR, 0), (FAR, 1, True)], [(BOX, 0, 0.9), (BOX, 1, 0.8)]), step([], [])
    collector = collected(CocoMetrics(3), *steps)
    assert collector.metrics()["ap"] == pytest.approx(51 / 101, abs=1e-12)
    first, second, third = collector.measured.classes
    assert first.values == {"ap": pytest.approx(51 / 101, abs=1e-12), "ap50": pytest.approx(51 / 101, abs=1e-12)}
    assert first.precisions.round(9).tolist() == [1.0] * 51 + [0.0] * 50
    assert first.scores[[0, 50, 51]] == pytest.approx([0.9, 0.9, 0])
    assert second.values == third.values == {"ap": None, "ap50": None}
    assert [(each.objects, each.ignored, each.detections) for each in (first, second, third)] == [
        (2, 0, 1),
        (0, 1, 1),
        (0, 0, 0),
    ]


def called_directly(tmp_path, steps, limits):
    """Returns pycocotools' evaluation of the steps as COCO's own files."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = [], []
    for image, each in enumerate(steps, 1):
        for i in np.flatnonzero(each["true_valid"][0]):
            annotations.append({"id": len(annotations) + 1, "image_id": image})
            annotations[-1] |= {
                "category_id": int(each["true_classes"][0, i]) + 1,
                "bbox": xywh(each["true_boxes"][0, i]),
                "area": float(each["true_areas"][0, i]),
                "iscrowd": int(each["true_ignored"][0, i]),
            }
        for i in range(each["counts"][0]):
            results.append({"image_id": image, "category_id": int(each["classes"][0, i]) + 1})
            results[-1] |= {"bbox": xywh(each["boxes"][0, i]), "score": float(each["scores"][0, i])}
    truth = {"images": [{"id": i} for i in range(1, len(steps) + 1)], "annotations": annotations}
    truth["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.maxDets = limits
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")


def test_metrics_equal_pycocotools_on_a_result_file(tmp_path):
    """Random objects and detections, once through the collector and once through COCO's own files, to 1e-12."""
    steps = random_steps()
    direct = called_directly(tmp_path, steps, [1, 10, 100])
    collector = collected(CocoMetrics(2), *steps)
    measured = collector.metrics()
    assert 0 < measured["ap"] < 1
    assert [measured[name] for name in NAMES] == pytest.approx(direct.stats[:9], abs=1e-12)
    for number, each in enumerate(collector.measured.classes):
        precision = direct.eval["precision"][:, :, number, 0, 2]
        assert each.values == {
            "ap": pytest.approx(precision.mean(), abs=1e-12),
            "ap50": pytest.approx(precision[0].mean(), abs=1e-12),
        }


def test_metrics_of_more_than_100_detections_equal_pycocotools(tmp_path):
    """105 objects of one class in an image, as far as they are found: pycocotools has them as its third limit."""
    random = np.random.RandomState(0)
    true = [((20 * y, 20 * x, 20 * y + 12, 20 * x + 12), 0) for y in range(7) for x in range(15)]
    found = [(np.add(box, random.normal(0, 0.8, 4)), label, random.rand()) for box, label in true]
    steps = [step(true, sorted(found, key=lambda each: -each[2]))]
    direct = called_directly(tmp_path, steps, [1, 10, 105])
    measured = collected(CocoMetrics(1, 105), *steps).metrics()
    names = ("ap50", "ap75", "ap_small", "ar1", "ar10", "ar_max")
    assert [measured[name] for name in names] == pytest.approx(direct.stats[[1, 2, 3, 6, 7, 8]], abs=1e-12)
    assert measured["ap"] == pytest.approx(direct.eval["precision"][:, :, 0, 0, 2].mean(), abs=1e-12)
    assert measured["ar100"] < measured["ar_max"]
