"""What other packages' detectors got wrong with whole models: batches, 16 bits, images without objects, odd boxes."""

import io
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tiny_task
from PIL import Image

from keras_resnet.config import load_config
from keras_resnet.config.detector_options import DetectorOptions as Options
from keras_resnet.detection.detector import Detector
from keras_resnet.detection.losses import proposal_losses, roi_losses, sampled_rois
from keras_resnet.detection.predictor import DetectionPredictor
from keras_resnet.detection.proposals import Proposed, proposals_of

SETTINGS = [
    "data.image_size=64",
    "detector.min_level=3",
    "detector.anchor_sizes=[[12, 17], [24, 34]]",
    "detector.score_threshold=0.1",
]
SEED = tf.constant([[0, 7]])


@pytest.fixture(scope="module")
def model():
    """Returns an untrained detector whose 11 scores are equal, and below the threshold, where all features are 0."""
    keras.utils.set_random_seed(0)
    model = tiny_task(load_config(str(ROOT / "configs/detection/scenes.yaml"), SETTINGS)).build_model()
    kernel = model.box_head.get_layer("box_scores").kernel
    kernel.assign(30 * kernel)
    return model


def street(*shape):
    return np.random.RandomState(0).randint(0, 256, (*shape, 3)).astype(np.uint8)


@pytest.mark.slow
def test_blank_images_have_no_detections_and_change_no_other(model):
    """torchvision issues 2251, 2309 and 2311; mmdetection issue 7160."""
    blank = np.broadcast_to(np.float32(model.description.preprocessing.mean), (64, 64, 3))
    found = model.detect(np.stack([blank, street(64, 64), blank]))
    alone = model.detect(np.float32(street(64, 64)[None]))
    count = int(alone.counts[0])
    assert found.counts.numpy().tolist() == [0, count, 0]
    assert count > 3
    np.testing.assert_allclose(found.boxes[1], alone.boxes[0], atol=1e-3)
    np.testing.assert_allclose(found.scores[1], alone.scores[0], atol=1e-5)
    np.testing.assert_array_equal(found.classes[1], alone.classes[0])
    assert not any(each[row].numpy().any() for each in found[:3] for row in (0, 2))


@pytest.mark.slow
def test_prediction_of_an_image_is_the_same_beside_a_larger_one(model):
    """maskrcnn-benchmark issue 940: padding to the largest image of a batch changed what was found in the others."""
    preprocessing = model.description.preprocessing
    predictor = DetectionPredictor(model, model.description.labels, preprocessing, "")
    contents = []
    for shape in ((40, 60), (200, 150)):
        stream = io.BytesIO()
        Image.fromarray(street(*shape)).save(stream, "PNG")
        contents.append(stream.getvalue())
    (alone,) = predictor.answer(contents[:1], 20)
    both = predictor.answer(contents, 20)
    assert len(alone.classes) > 3
    assert both[0].classes == alone.classes
    np.testing.assert_allclose(both[0].boxes, alone.boxes, atol=1e-3)


@pytest.mark.slow
def test_one_of_two_boxes_is_kept_in_mixed_float16(policy, monkeypatch):
    """Two boxes with an IoU of .6 and label 90 (MultimediaTechLab/YOLO issue 234, torchvision issue 3371).

    Boxes are moved apart by class, by 91,000 pixels for this one, which float16 does not have.
    """
    policy("mixed_float16")
    task = tiny_task(load_config(str(ROOT / "configs/detection/scenes.yaml"), [*SETTINGS, "data.image_size=1024"]))
    model = Detector(replace(task.description, labels=tuple(map(str, range(91)))))
    for layer in ("box_scores", "box_deltas"):
        kernel, bias = model.box_head.get_layer(layer).get_weights()
        model.box_head.get_layer(layer).set_weights([0 * kernel, 9.0 * (np.arange(len(bias)) == 91)])
    boxes = tf.constant([[[100.0, 100, 900, 900], [100, 100, 900, 580], [0, 0, 50, 50]]])
    monkeypatch.setattr(model, "propose", lambda features: Proposed(None, None, None, boxes, tf.constant([3])))
    found = model.detect(tf.zeros((1, 1024, 1024, 3)))
    assert found.counts.numpy() == [2]
    assert found.classes.numpy()[0, :2].tolist() == [90, 90]
    assert sorted(found.boxes.numpy()[0, :2].tolist()) == [[0, 0, 50, 50], [100, 100, 900, 900]]


def objects(*boxes):
    """One image's objects of class 0, and padding."""
    rows = np.zeros((1, len(boxes) + 1, 4), np.float32)
    rows[0, : len(boxes)] = np.reshape(boxes, (-1, 4))
    return {
        "boxes": tf.constant(rows),
        "classes": tf.zeros((1, len(boxes) + 1), tf.int32),
        "ignored": tf.zeros((1, len(boxes) + 1), tf.bool),
        "valid": tf.constant([[True] * len(boxes) + [False]]),
    }


@pytest.mark.parametrize(
    "boxes", [[], [[10, 10, 20, 10]]], ids=["no object (torchvision 1598, 2144)", "no area (torchvision 2240)"]
)
def test_losses_of_an_image_without_boxes_that_have_an_area(boxes):
    """All sampled anchors and RoIs are background; box losses are 0 and not NaN, whatever the deltas are."""
    corners = np.random.RandomState(0).uniform(0, 80, (900, 2))
    anchors = np.concatenate([corners, corners + 16], axis=1).astype(np.float32)
    scores = np.log(np.arange(1, 901)).astype(np.float32)
    proposed = Proposed(anchors, scores[None], tf.ones((1, 900, 4)), tf.constant(anchors[None, :40]), tf.constant([40]))
    found = proposal_losses(Options(), proposed, objects(*boxes), (96, 96), SEED)
    assert float(found["rpn_box_loss"][0]) == 0.0
    # The cross entropy of background is log(1 + i) for i up to 900; its mean over all is 5.81, with a std of 0.99.
    assert float(found["rpn_score_loss"][0]) == pytest.approx(np.log(np.arange(2, 902)).mean(), abs=0.25)
    rois = sampled_rois(Options(roi_samples=16), proposed, objects(*boxes), SEED)
    assert rois["classes"].numpy().tolist() == [[0] * 16]
    assert rois["valid"].numpy().sum() == 16
    found = roi_losses(tf.zeros((1, 16, 2)), tf.ones((1, 16, 1, 4)), rois)
    assert float(found["box_loss"][0]) == 0.0
    assert float(found["class_loss"][0]) == pytest.approx(np.log(2))


def test_proposals_of_deltas_that_are_no_numbers_are_inside_the_image():
    """RoIAlign would look for cells there: a run that diverges would end with the message of a kernel."""
    anchors = np.float32([[0, 0, 16, 16], [8, 8, 24, 24], [16, 16, 32, 32]])
    outputs = tf.constant([[[[3.0, 2.0, 1.0]]]]), tf.constant([[[[float("nan")] * 8 + [0.0] * 4]]])
    boxes = proposals_of([outputs], [anchors], Options(), (32, 32)).boxes.numpy()
    assert ((boxes >= 0) & (boxes <= 32)).all()
    assert [16, 16, 32, 32] in boxes[0].tolist()
