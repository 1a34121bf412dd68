"""Masks of objects: targets and losses by hand, and COCO's metrics as pycocotools gives them when called directly."""

import contextlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from made_results import random_steps
from pycocotools import mask as reference
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_resnet.data.run_lengths import encode
from keras_resnet.detection.coco_metrics import CocoMetrics, xywh
from keras_resnet.detection.collector import Collector
from keras_resnet.detection.losses import mask_losses, mask_targets

HEIGHT, WIDTH = 200, 260


def rows(*values):
    return tf.constant([values], tf.float32)


def test_mask_targets_are_the_cells_of_the_roi_that_are_in_the_object():
    """The lower half of the object's box (8, 4, 24, 12) belongs to it."""
    masks = np.zeros((1, 2, 8, 8), np.uint8)
    masks[0, 1, 4:] = 1
    objects = {"masks": tf.constant(masks), "mask_boxes": rows([0, 0, 1, 1], [8, 4, 24, 12])}
    boxes = rows([8, 4, 24, 12], [16, 0, 32, 16], [40, 40, 44, 44], [8, 4, 12, 12])
    targets = mask_targets(objects, {"boxes": boxes, "objects": tf.ones((1, 4), tf.int32)}, 4).numpy()[0]
    assert targets[0].tolist() == [[0] * 4] * 2 + [[1] * 4] * 2
    assert targets[1].tolist() == [[0, 1, 1, 0]] * 2 + [[0] * 4] * 2  # it reaches out of the object on three sides
    assert not targets[2:].any()


def test_mask_loss_is_the_mean_over_positives():
    """Two of three RoIs are positive; entropies log 2 and log(1 + e)."""
    logits = tf.stack([tf.zeros((4, 4)), tf.ones((4, 4)), 100 * tf.ones((4, 4))])[None]
    loss = mask_losses(logits, tf.zeros((1, 3, 4, 4)), rows(1, 1, 0))
    assert float(loss[0]) == pytest.approx((np.log(2) + np.log(1 + np.e)) / 2, rel=1e-6)
    assert float(mask_losses(logits, tf.zeros((1, 3, 4, 4)), rows(0, 0, 0))[0]) == 0.0


def steps_with_masks():
    """Returns steps of random objects and detections with random masks, and the objects' run lengths of each image."""
    random, steps, true_masks = np.random.RandomState(1), random_steps(), []
    for outputs in steps:
        outputs["sizes"] = np.array([[HEIGHT, WIDTH]], np.float32)
        cells = random.normal(0, 0.1, (1, outputs["boxes"].shape[1], 7, 7)) + np.linspace(0, 1, 7)
        outputs["masks"] = np.clip(cells, 0, 1).astype(np.float32)
        of_image = []
        for box in outputs["true_boxes"][0][outputs["true_valid"][0]].astype(int):
            mask = np.zeros((HEIGHT, WIDTH), bool)
            mask[box[0] : box[2], box[1] : box[3]] = True
            mask[:, : (box[1] + min(box[3], WIDTH)) // 2] = False
            mask[:, box[1]] = True
            of_image.append(encode(mask))
        true_masks.append(of_image)
    return steps, true_masks


def called_directly(folder, images):
    """Returns the twelve numbers of pycocotools for annotation files with the masks."""
    annotations, results = [], []
    for number, image in enumerate(images, 1):
        for box, label, ignored, area, mask in zip(
            image.true_boxes, image.true_classes, image.ignored, image.true_areas, image.true_masks, strict=True
        ):
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": int(label) + 1, "bbox": xywh(box)}
            mask = {"size": [HEIGHT, WIDTH], "counts": mask.decode()}
            annotations.append(row | {"iscrowd": int(ignored), "area": float(area), "segmentation": mask})
        for label, score, mask in zip(image.classes, image.scores, image.masks, strict=True):
            mask = {"size": [HEIGHT, WIDTH], "counts": mask.decode()}
            row = {"image_id": number, "category_id": int(label) + 1, "score": float(score), "segmentation": mask}
            results.append(row)
    pictures = [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(1, len(images) + 1)]
    content = {"images": pictures, "annotations": annotations, "categories": [{"id": 1}, {"id": 2}]}
    for name, values in (("true", content), ("found", results)):
        (folder / f"{name}.json").write_text(json.dumps(values))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "true.json"))
        measured = COCOeval(truth, truth.loadRes(str(folder / "found.json")), "segm")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return measured.stats


def test_mask_metrics_equal_pycocotools(tmp_path):
    steps, true_masks = steps_with_masks()
    collector = Collector(CocoMetrics(2, masks=True), true_masks.__getitem__)
    for each in steps:
        collector.add(each)
    found = collector.metrics()
    names = ("mask_ap", "mask_ap50", "mask_ap75", "mask_ap_small", "mask_ap_medium", "mask_ap_large")
    expected = dict(zip(names, called_directly(tmp_path, collector.images), strict=False))
    assert {name: found[name] for name in names if name in found} == pytest.approx(
        {name: value for name, value in expected.items() if value > -1}, abs=1e-12
    )
    assert 0.05 < found["mask_ap"] < found["ap"] < 0.95
    in_classes = [each.values["mask_ap"] for each in collector.measured.classes]
    assert np.mean(in_classes) == pytest.approx(found["mask_ap"], abs=1e-12)


def test_small_masks_in_large_boxes_are_small():
    """mmdetection#4898: a ring of area 900 in a box of 40 x 40 is small for its mask, not large for its box."""
    ring = np.zeros((HEIGHT, WIDTH), bool)
    ring[10:50, 10:50] = True
    ring[16:42, 16:43] = False
    assert ring.sum() == 898
    steps, _ = steps_with_masks()
    outputs = {name: value[:, :1] if value.ndim > 1 and name != "sizes" else value for name, value in steps[0].items()}
    outputs |= {"true_boxes": np.array([[[10, 10, 50, 50]]], np.float32), "true_valid": np.array([[True]])}
    outputs |= {"true_areas": np.array([[898.0]], np.float32), "true_ignored": np.array([[False]])}
    outputs |= {"boxes": np.array([[[10, 10, 50, 50]]], np.float32), "counts": np.array([1])}
    outputs |= {"classes": np.array([[0]]), "true_classes": np.array([[0]]), "scores": np.array([[0.9]], np.float32)}
    cells = ring[10:50, 10:50].reshape(20, 2, 20, 2).mean((1, 3))
    collector = Collector(CocoMetrics(2, masks=True), lambda index: [encode(ring)])
    collector.add(outputs | {"masks": cells[None, None].astype(np.float32)})
    found = collector.metrics()
    assert found["mask_ap_small"] > 0.5
    assert "mask_ap_medium" not in found


def test_collected_masks_are_small():
    """Masks of a photograph take less than a kilobyte each: run lengths, not pixels."""
    boxes = np.tile(np.array([50, 60, 350, 400], np.float32), (1, 20, 1))
    outputs = {
        name: np.zeros((1, 0, *end), dtype)
        for name, end, dtype in (
            ("true_boxes", (4,), np.float32),
            ("true_classes", (), np.int32),
            ("true_areas", (), np.float32),
            ("true_ignored", (), bool),
            ("true_valid", (), bool),
        )
    }
    y, x = (np.mgrid[:28, :28] + 0.5) / 14 - 1
    disc = np.tile((np.hypot(x, y) < 1).astype(np.float32), (1, 20, 1, 1))
    outputs |= {"boxes": boxes, "scores": np.ones((1, 20)), "classes": np.zeros((1, 20), int), "masks": disc}
    collector = Collector(CocoMetrics(1, masks=True), lambda index: [])
    collector.add(outputs | {"counts": np.array([20]), "weights": np.ones(1), "sizes": np.array([[480.0, 640]])})
    masks = collector.images[0].masks
    assert sum(map(len, masks)) < 20 * 1000
    area = reference.area({"size": [480, 640], "counts": masks[0].decode()})
    assert area == pytest.approx(np.pi * 150 * 170, rel=0.03)
