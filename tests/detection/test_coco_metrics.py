"""COCO's metrics of collected detections: values that follow from the definition, and pycocotools called directly."""

import contextlib
import io

import numpy as np
import pytest

from keras_resnet.detection.coco_metrics import CocoCollector

LABELS = ("cat", "dog")


def step(true, found, weights=(1,), size=200):
    """Returns the outputs of a step for one image; true: (box, class, ignored), found: (box, class, score)."""
    outputs = {
        "true_boxes": np.zeros((1, size, 4), np.float32),
        "true_classes": np.zeros((1, size), np.int32),
        "true_areas": np.zeros((1, size), np.float32),
        "true_ignored": np.zeros((1, size), bool),
        "true_valid": np.arange(size)[None] < len(true),
        "boxes": np.zeros((1, size, 4), np.float32),
        "scores": np.zeros((1, size), np.float32),
        "classes": np.zeros((1, size), np.int32),
        "counts": np.array([len(found)]),
        "weights": np.array(weights, np.float32),
    }
    for i, (box, label, *ignored) in enumerate(true):
        outputs["true_boxes"][0, i], outputs["true_classes"][0, i] = box, label
        outputs["true_areas"][0, i] = (box[2] - box[0]) * (box[3] - box[1])
        outputs["true_ignored"][0, i] = bool(ignored and ignored[0])
    for i, (box, label, score) in enumerate(found):
        outputs["boxes"][0, i], outputs["classes"][0, i], outputs["scores"][0, i] = box, label, score
    return outputs


def metrics(*steps):
    collector = CocoCollector(LABELS)
    for each in steps:
        collector.add(each)
    return collector.metrics()


BOX, FAR = (10, 20, 50, 50), (100, 100, 140, 150)


def test_perfect_detections_of_the_first_class_and_annotation_count():
    """Label 0 (torchvision issue 1952) and the first annotation are found.

    pycocotools takes annotation id 0 for no match (torchvision issue 1530, cocoapi issue 507).
    """
    found = metrics(step([(BOX, 0)], [(BOX, 0, 0.9)]))
    assert [found[name] for name in ("ap", "ap50", "ar100")] == pytest.approx([1, 1, 1], abs=1e-12)


def test_metrics_of_absent_sizes_and_of_no_objects_are_left_out():
    assert "ap_large" not in metrics(step([(BOX, 0)], [(BOX, 0, 0.9)]))
    assert metrics(step([], [(BOX, 0, 0.9)])) == {}


def test_detections_of_a_crowd_are_neither_right_nor_wrong():
    """Three in the crowd, with scores above the right one, would give an AP of .25 (tensorpack issue 984)."""
    crowd = (0, 0, 60, 60)
    inside = [((i, i, i + 12, i + 12), 0, 0.9) for i in (1, 20, 40)]
    found = metrics(step([(crowd, 0, True), (FAR, 0)], [*inside, (FAR, 0, 0.5)]))
    assert found["ap"] == pytest.approx(1, abs=1e-12)


def test_wrong_class_and_swapped_axes_give_no_precision():
    assert metrics(step([(BOX, 0)], [(BOX, 1, 0.9)]))["ap"] == 0.0
    assert metrics(step([(BOX, 0)], [((20, 10, 50, 50), 0, 0.9)]))["ap75"] == 0.0


def test_padding_images_do_not_count():
    assert metrics(step([(BOX, 0)], [(BOX, 0, 0.9)]), step([(FAR, 1)], [], weights=(0,)))["ap"] == pytest.approx(
        1, abs=1e-12
    )


def test_metrics_equal_pycocotools_on_a_result_file(tmp_path):
    """Random objects and detections, once through the collector and once through COCO's own files, to 1e-12."""
    import json

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    random, steps, annotations, results = np.random.RandomState(0), [], [], []
    for image in range(1, 13):
        corners = random.uniform(0, 150, (random.randint(0, 6), 2)).round()
        true = [
            ((y, x, y + h, x + w), random.randint(2), random.rand() < 0.2)
            for (y, x), h, w in zip(corners, *random.uniform(8, 200, (2, len(corners))).round(), strict=True)
        ]
        shifted = [np.add(box, np.round(random.normal(0, 3, 4), 1)) for box, *_ in true]
        found = [(box, random.randint(2), round(random.rand(), 3)) for box in shifted]
        steps.append(step(true, found))
        for box, label, ignored in true:
            y1, x1, y2, x2 = (float(np.float32(v)) for v in box)
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": label + 1})
            annotations[-1] |= {
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (y2 - y1) * (x2 - x1),
                "iscrowd": int(ignored),
            }
        for box, label, score in found:
            y1, x1, y2, x2 = (float(np.float32(v)) for v in box)
            results.append({"image_id": image, "category_id": label + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]})
            results[-1]["score"] = float(np.float32(score))
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    truth = {"images": [{"id": i} for i in range(1, 13)], "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    measured = metrics(*steps)
    assert 0 < measured["ap"] < 1
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
    assert [measured[name] for name in names] == pytest.approx(evaluation.stats[:9], abs=1e-12)
