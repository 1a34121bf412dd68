"""The losses of a detector, by hand: normalizers, images without objects, padding and ignored regions."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config.detector_options import DetectorOptions
from keras_resnet.detection.losses import absolute_difference, proposal_losses, roi_losses, sampled_rois
from keras_resnet.detection.proposals import Proposed


def rois(classes, valid=None):
    count = len(classes)
    positive = np.array(classes) > 0
    return {
        "classes": tf.constant([classes], tf.int32),
        "targets": tf.zeros((1, count, 4)),
        "positive": tf.constant([positive.astype(float)], tf.float32),
        "valid": tf.constant([[1.0] * count if valid is None else valid], tf.float32),
    }


def test_box_loss_is_divided_by_sampled_boxes():
    """One of four is positive and each of its deltas is wrong by 1: 4 / 4 = 1, not 4 / 1 (mmdetection issue 1540)."""
    losses = roi_losses(tf.zeros((1, 4, 3)), tf.ones((1, 4, 2, 4)), rois([2, 0, 0, 0]))
    assert float(losses["box_loss"][0]) == 1.0
    assert float(losses["class_loss"][0]) == pytest.approx(np.log(3))


def test_box_loss_reads_the_deltas_of_the_own_class():
    deltas = tf.constant([[[[5.0] * 4, [0.0] * 4]]])
    assert float(roi_losses(tf.zeros((1, 1, 3)), deltas, rois([2]))["box_loss"][0]) == 0.0
    assert float(roi_losses(tf.zeros((1, 1, 3)), deltas, rois([1]))["box_loss"][0]) == 20.0


def test_padding_does_not_count():
    logits = tf.constant([[[0.0, 0.0], [100.0, 0.0]]])
    losses = roi_losses(logits, tf.zeros((1, 2, 1, 4)), rois([1, 1], valid=[1.0, 0.0]))
    assert float(losses["class_loss"][0]) == pytest.approx(np.log(2))


def objects(boxes, classes, ignored=None, padding=1):
    count = len(classes)
    rows = np.zeros((1, count + padding, 4), np.float32)
    rows[0, :count] = np.reshape(boxes, (-1, 4))
    return {
        "boxes": tf.constant(rows),
        "classes": tf.constant([[*classes, *[0] * padding]], tf.int32),
        "ignored": tf.constant([[*(ignored or [False] * count), *[False] * padding]]),
        "valid": tf.constant([[True] * count + [False] * padding]),
    }


def proposed(*boxes):
    boxes = tf.constant([boxes], tf.float32)
    return Proposed(None, None, None, boxes, tf.constant([boxes.shape[1]]))


SEED = tf.constant([[0, 7]])
OPTIONS = DetectorOptions(roi_samples=4, roi_positive_fraction=0.5)


def test_sampled_rois_have_the_classes_and_targets_of_their_objects():
    """The object itself is a proposal, with deltas of 0; one that is shifted by a tenth has a delta of 10 tenths."""
    found = sampled_rois(OPTIONS, proposed([1, 0, 11, 10], [50, 50, 60, 60]), objects([[0, 0, 10, 10]], [3]), SEED)
    by_box = {tuple(box): i for i, box in enumerate(found["boxes"].numpy()[0]) if found["valid"][0, i]}
    own, shifted, far = (by_box[box] for box in ((0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)))
    assert found["classes"].numpy()[0, [own, shifted, far]].tolist() == [4, 4, 0]
    np.testing.assert_allclose(found["targets"][0, own], np.zeros(4), atol=1e-6)
    np.testing.assert_allclose(found["targets"][0, shifted], [-1, 0, 0, 0], atol=1e-5)
    assert found["positive"].numpy()[0, [own, shifted, far]].tolist() == [1, 1, 0]
    assert float(tf.reduce_sum(found["valid"])) == 3  # padding of the objects is no proposal


def test_image_without_objects_has_only_negatives():
    """Neither NaN nor an error (torchvision issues 1598 and 2144): all are background, and the box loss is 0."""
    found = sampled_rois(OPTIONS, proposed([0, 0, 10, 10], [5, 5, 9, 9]), objects([], []), SEED)
    assert float(tf.reduce_sum(found["valid"])) == 2
    assert float(tf.reduce_sum(found["positive"])) == 0
    losses = roi_losses(tf.zeros((1, 4, 3)), tf.ones((1, 4, 2, 4)), found)
    assert float(losses["box_loss"][0]) == 0.0
    assert float(losses["class_loss"][0]) == pytest.approx(np.log(3))


def test_proposal_in_an_ignored_region_is_not_background():
    """A crowd's people are not taught as background (tensorpack issue 984); the crowd itself is no positive."""
    crowd = objects([[0, 0, 200, 200]], [0], ignored=[True])
    found = sampled_rois(OPTIONS, proposed([10, 10, 26, 26], [300, 300, 316, 316]), crowd, SEED)
    assert found["boxes"].numpy()[found["valid"].numpy() > 0].tolist() == [[300, 300, 316, 316]]


def test_sampled_rois_depend_on_the_image_s_own_seed():
    boxes = [[i, i, i + 10, i + 10] for i in range(0, 200, 3)]
    one, same, other = (
        sampled_rois(OPTIONS, proposed(*boxes), objects([[0, 0, 10, 10]], [3]), tf.constant([[0, k]]))["boxes"].numpy()
        for k in (7, 7, 8)
    )
    assert (one == same).all()
    assert (one != other).any()


def test_absolute_difference_sums_the_four_deltas():
    assert float(absolute_difference(tf.zeros((1, 1, 4)), tf.constant([[[1.0, -2, 3, -4]]]))[0, 0]) == 10


@pytest.mark.parametrize(
    ("normalizer", "scores", "boxes"), [("samples", np.log(2), 2.0), ("paper", np.log(2) / 2, 20.0)]
)
def test_losses_of_proposals_by_hand(normalizer, scores, boxes):
    """Two positions with one anchor each: the first is the object, the other is far. All four deltas are wrong by 1.

    The sampled: 2 log 2 / 2 and 4 / 2. The paper's: 2 log 2 / 4, because 4 anchors are asked for, and 10 * 4 / 2.
    """
    anchors = np.float32([[0, 0, 16, 16], [40, 40, 56, 56]])
    outputs = Proposed(anchors, tf.zeros((1, 2)), tf.ones((1, 2, 4)), None, None)
    options = DetectorOptions(
        anchor_samples=4, anchor_sizes=((16.0,),), anchor_ratios=(1.0,), rpn_normalizer=normalizer
    )
    found = proposal_losses(options, outputs, objects([[0, 0, 16, 16]], [0]), (64, 64), SEED)
    assert float(found["rpn_score_loss"][0]) == pytest.approx(scores)
    assert float(found["rpn_box_loss"][0]) == pytest.approx(boxes)
