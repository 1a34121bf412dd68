"""Bugs of other detection libraries' metrics, each with the value that is right.

| report | what went wrong | test |
|---|---|---|
| torchvision 1952 | objects of label 0 disappear | test_label_0_counts |
| torchvision 1530, supervision 1895, cocoapi 507 | annotation id 0 means "no match" | test_annotation_id_0_counts |
| cocoapi 222, detectron2 3359 | only 100 detections of an image count | test_150_boxes_as_answers |
| tensorpack 984, tf-models 7378 | detections in a crowd are wrong | test_detections_in_a_crowd_do_not_count |
| rf-detr 1507, detectron2 1838 | every replica adds the padding's images | test_two_replicas_evaluate_5_images_once |
| torchvision 1141, tf-models 1719 | category ids with gaps | test_detections_have_the_files_own_ids |
| PaddleDetection 375, icevision 1097 | the memory of evaluations grows | test_memory_of_evaluations_is_flat |
"""

import json
import tracemalloc
import types

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from made_results import Answers, collected, step
from PIL import Image

from keras_resnet.config import load_config
from keras_resnet.data import scenes
from keras_resnet.data.coco import load_coco
from keras_resnet.detection.coco_metrics import CocoMetrics
from keras_resnet.detection.collector import Collector
from keras_resnet.detection.report import write_detections
from keras_resnet.task import load_task
from keras_resnet.training.metrics import Evaluator

BOX, FAR = (10, 20, 50, 50), (100, 100, 140, 150)


def metrics(*steps, classes=1, detections=100):
    return collected(CocoMetrics(classes, detections), *steps).metrics()


def test_label_0_counts():
    assert metrics(step([(BOX, 0)], [(BOX, 0, 0.9)]))["ap"] == pytest.approx(1, abs=1e-12)


@pytest.fixture
def files(tmp_path):
    """A data set in COCO's layout: two images of 40 x 60 pixels, categories 90, 1 and 3, annotations from id 0 on."""
    (tmp_path / "train").mkdir()
    (tmp_path / "annotations").mkdir()
    images = [{"id": number, "file_name": f"{number}.png", "height": 40, "width": 60} for number in (700, 5)]
    for each in images:
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "train" / each["file_name"])
    categories = [{"id": number, "name": name} for number, name in ((90, "toothbrush"), (1, "person"), (3, "car"))]
    annotations = [
        {"id": i, "image_id": image, "category_id": category, "bbox": [2, 3, 20, 10], "area": 150, "iscrowd": 0}
        for i, (image, category) in enumerate([(700, 90), (5, 1), (5, 3)])
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(content))
    return load_coco(load_config(str(ROOT / "configs/detection/scenes.yaml"), [f"data.name=coco:{tmp_path}"]).data)


def perfect(images, count):
    """Returns a step for each training image, with its objects as detections."""
    for index in range(count):
        _, objects = images.split("train").read(tf.constant(index, tf.int64))
        true = list(zip(objects["boxes"].numpy(), objects["classes"].numpy(), strict=True))
        yield step(true, [(*each, 0.9) for each in true])


def test_annotation_id_0_counts(files):
    assert metrics(*perfect(files, 1), classes=3)["ap"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("detections", "ap50", "ar_max"),
    [(100, 67 / 101, None), pytest.param(150, 1, 1, marks=pytest.mark.slow)],
)
def test_150_boxes_as_answers(detections, ap50, ar_max):
    """100 of 150 found are a recall of 0.666, so 67 of 101 points have a precision of 1."""
    boxes = [((20 * y, 20 * x, 20 * y + 12, 20 * x + 12), 0) for y in range(10) for x in range(15)]
    found = metrics(step(boxes, [(*each, 0.9) for each in boxes]), detections=detections)
    assert found["ap50"] == pytest.approx(ap50, abs=1e-12)
    assert found["ar100"] == pytest.approx(100 / 150, abs=1e-12)
    assert found.get("ar_max") == ar_max


def test_detections_in_a_crowd_do_not_count():
    inside = [((i, i, i + 12, i + 12), 0, 0.9) for i in (1, 20, 40)]
    found = metrics(step([((0, 0, 60, 60), 0, True), (FAR, 0)], [*inside, (FAR, 0, 0.5)]))
    assert found["ap"] == pytest.approx(1, abs=1e-12)


@pytest.mark.slow
def test_two_replicas_evaluate_5_images_once(strategies, monkeypatch):
    """A batch has 4 images, so that 3 are padding; the metrics are those of one replica."""
    monkeypatch.setattr(scenes, "SCENES", {"train": 2, "validation": 2, "test": 5})
    config = load_config(str(ROOT / "configs/detection/scenes.yaml"), ["eval.batch_size=4", "eval.max_detections=13"])
    task, found = load_task(config), []
    for strategy in strategies.values():
        collector = task.collector("test")
        model = Answers(task, 5)
        found.append(Evaluator(task, model, strategy)("test", collector))
        assert [image.index for image in collector.images] == [0, 1, 2, 3, 4]
        for i, image in enumerate(collector.images):
            np.testing.assert_array_equal(image.true_boxes, scenes.paint_scene("test", i).boxes)
    assert found[0] == found[1]
    assert 0.3 < found[0]["ap"] < 1


def test_detections_have_the_files_own_ids(files, tmp_path):
    """The categories 1, 3 and 90 are the classes 0, 1 and 2; images have their ids too."""
    assert files.labels == ("person", "car", "toothbrush")
    collector = collected(None, *perfect(files, 2))
    assert [image.true_classes.tolist() for image in collector.images] == [[2], [0, 1]]
    path = tmp_path / "detections.json"
    write_detections(str(path), types.SimpleNamespace(images=files, labels=files.labels), "train", collector)
    rows = json.loads(path.read_text())
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(700, 90), (5, 1), (5, 3)]
    assert rows[0]["bbox"] == [2, 3, 20, 10]
    assert rows[0]["score"] == 0.9
    part = files.split("train").subset(np.array([1]))
    assert part.ids == (5,)


def test_memory_of_evaluations_is_flat():
    """200 images with 100 detections each take half a megabyte, and no batch that they come from."""
    batch = step([(BOX, 0)] * 5, [(BOX, 0, 0.9)] * 100)
    collector = collected(None, *[batch] * 200)
    arrays = [value for image in collector.images for value in vars(image).values() if isinstance(value, np.ndarray)]
    assert all(value.base is None for value in arrays)
    assert sum(value.nbytes for value in arrays) == 200 * (100 * 24 + 5 * 25)

    def evaluated():
        collected(CocoMetrics(5), *[step([(BOX, 0)], [(BOX, i % 5, 0.9) for i in range(20)])] * 2).metrics()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        sizes = [evaluated() for _ in range(3)]
    finally:
        tracemalloc.stop()
    assert max(sizes[1:]) - sizes[0] < 20_000


@pytest.mark.slow
def test_memory_of_masks_is_flat():
    """PaddleDetection issue 375: masks take less than a kilobyte each, so those of 200 images with 100 each 20 MB."""
    y, x = (np.mgrid[:28, :28] + 0.5) / 14 - 1
    disc = (np.hypot(x, y) < 1).astype(np.float32)
    random = np.random.RandomState(0)

    def evaluated(images):
        collector = Collector(CocoMetrics(1, masks=True), lambda index: [])
        for _ in range(images):
            corners = random.uniform(0, 200, (100, 2))
            boxes = np.concatenate([corners, corners + random.uniform(20, 280, (100, 2))], axis=1)
            outputs = step([], [(box, 0, 0.9) for box in boxes])
            masks = np.zeros((1, outputs["boxes"].shape[1], 28, 28), np.float32)
            masks[0, :100] = disc
            collector.add(outputs | {"masks": masks, "sizes": np.array([[480.0, 640]])})
        collected = sum(len(mask) for image in collector.images for mask in image.masks)
        collector.metrics()
        return collected, tracemalloc.get_traced_memory()[0]

    assert evaluated(10)[0] < 10 * 100 * 1000
    tracemalloc.start()
    try:
        sizes = [evaluated(3)[1] for _ in range(3)]
    finally:
        tracemalloc.stop()
    assert max(sizes[1:]) - sizes[0] < 20_000
