import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.anchors import level_anchors
from keras_resnet.boxes.coding import encode, inside_image
from keras_resnet.boxes.matching import IGNORED, NEGATIVE, POSITIVE, match

# Six anchors of an image of 100x100 pixels, with two objects and a crowd.
OBJECTS = [[10, 10, 30, 30], [60, 60, 80, 90], [0, 50, 40, 100]]
CROWD = [False, False, True]
ANCHORS = [
    [10, 10, 30, 26],  # IoU .8 with object 0
    [60, 60, 80, 75],  # IoU .5 with object 1
    [40, 40, 50, 50],  # no object
    [10, 10, 20, 30],  # IoU .5 with object 0, whose best anchor is the first
    [60, 60, 80, 110],  # IoU .6 with object 1, and crosses the border
    [20, 60, 30, 70],  # in the crowd
]
RPN = {"positive_iou": 0.7, "negative_iou": (0.0, 0.3), "allow_low_quality_matches": True}


def labels_of(boxes=ANCHORS, objects=OBJECTS, **arguments):
    arguments = {"ignore": CROWD, "eligible": inside_image(ANCHORS, (100, 100)), **RPN, **arguments}
    return match(boxes, objects, **arguments).labels.numpy().tolist()


def test_six_anchors_by_hand():
    matches = match(ANCHORS, OBJECTS, ignore=CROWD, eligible=inside_image(ANCHORS, (100, 100)), **RPN)
    expected = [POSITIVE, POSITIVE, NEGATIVE, IGNORED, IGNORED, IGNORED]
    assert matches.labels.numpy().tolist() == expected == [1, 1, 0, -1, -1, -1]
    assert matches.objects.numpy()[:2].tolist() == [0, 1]
    np.testing.assert_allclose(matches.ious, [0.8, 0.5, 0, 0.5, 0, 0])


def test_anchor_across_the_border_counts_where_it_is_eligible():
    """It is the best of object 1 then, and the second anchor is between the thresholds."""
    assert labels_of(eligible=None) == [1, -1, 0, -1, 1, -1]


def test_anchor_in_a_crowd_is_negative_where_crowds_are_not_ignored():
    assert labels_of(ignore=None, valid=[True, True, False]) == [1, 1, 0, -1, -1, 0]


def test_best_anchor_below_the_threshold_is_ignored_without_low_quality_matches():
    assert labels_of(allow_low_quality_matches=False) == [1, -1, 0, -1, -1, -1]


def test_small_anchor_in_a_large_crowd_is_ignored():
    """It is not taught as background, although its IoU with the crowd is .0064 (tensorpack 984, models 7378)."""
    assert labels_of([[50, 50, 66, 66]], [[0, 0, 200, 200]], ignore=[True], eligible=None) == [IGNORED]


def test_only_crowds_make_the_boxes_inside_them_ignored():
    """A box on an object in the crowd, a part of that object, and a part of an object elsewhere."""
    objects = [[60, 10, 80, 30], [0, 60, 40, 80], [50, 0, 100, 50]]
    boxes = [[60, 10, 80, 30], [65, 15, 70, 20], [10, 65, 20, 70]]
    assert labels_of(boxes, objects, eligible=None, allow_low_quality_matches=False) == [POSITIVE, IGNORED, NEGATIVE]


def test_nothing_is_matched_to_a_crowd():
    assert labels_of([OBJECTS[2]], eligible=None) == [IGNORED]


def test_equally_good_anchors_are_all_positive():
    """Both halves of an object have an IoU of .5; their thirds differ in the last bit of float32."""
    object_ = [[0, 0, 20, 30]]
    halves = [[0, 0, 10, 30], [10, 0, 20, 30], [0, 0, 5, 30]]
    assert labels_of(halves, object_, ignore=None, eligible=None) == [1, 1, 0]
    thirds = [[0, 0, 20, 10], [0, 10, 20, 20.000002], [0, 20, 20, 30]]
    assert labels_of(thirds, object_, ignore=None, eligible=None) == [1, 1, 1]


def test_object_that_overlaps_no_anchor_makes_none_positive():
    assert labels_of(objects=[[90, 0, 100, 10]], ignore=None) == [0, 0, 0, 0, -1, 0]


def test_low_quality_match_has_the_object_of_the_greatest_overlap():
    """The anchor is the best of both objects, and overlaps the second more."""
    matches = match([[0, 0, 10, 10]], [[0, 0, 10, 40], [0, 0, 10, 20]], **RPN)
    assert matches.labels.numpy() == [1]
    assert matches.objects.numpy() == [1]


@pytest.mark.parametrize("negative_iou", [(0.0, 0.3), (0.1, 0.3)])
def test_all_boxes_are_negative_without_objects(negative_iou):
    arguments = {"ignore": None, "eligible": None, "negative_iou": negative_iou}
    assert labels_of(objects=np.zeros((0, 4)), **arguments) == [0] * 6
    assert labels_of(objects=OBJECTS, valid=[False] * 3, **arguments) == [0] * 6
    assert labels_of(objects=np.zeros((3, 4)), **arguments, valid=[False] * 3) == [0] * 6


def test_image_of_crowds_only():
    assert labels_of(ignore=[False, False, True], valid=[False, False, True]) == [0, 0, 0, 0, -1, -1]


def test_thresholds_belong_to_the_upper_side():
    """IoUs of .5, .3, .2 and .05 with the thresholds .5, .3 and .1."""
    boxes = [[0, 0, 10, 50], [0, 0, 10, 30], [0, 0, 10, 20], [0, 0, 10, 5]]
    matches = match(boxes, [[0, 0, 10, 100]], positive_iou=0.5, negative_iou=(0.1, 0.3))
    assert matches.labels.numpy().tolist() == [POSITIVE, IGNORED, NEGATIVE, IGNORED]
    matches = match(boxes, [[0, 0, 10, 100]], positive_iou=0.5, negative_iou=(0.2, 0.5))
    assert matches.labels.numpy().tolist() == [POSITIVE, NEGATIVE, NEGATIVE, IGNORED]


def test_degenerate_objects_match_nothing():
    matches = match(ANCHORS, [[10, 10, 10, 20], [30, 30, 10, 10]], **RPN)
    assert matches.labels.numpy().tolist() == [0] * 6
    assert np.isfinite(matches.ious).all()


def test_image_has_the_matches_that_it_has_alone():
    objects = tf.constant([np.zeros((3, 4)), OBJECTS, np.zeros((3, 4))], tf.float32)
    valid = tf.constant([[False] * 3, [True] * 3, [False] * 3])
    ignore = tf.constant([[False] * 3, CROWD, [False] * 3])
    batch = match(ANCHORS, objects, valid, ignore, **RPN)
    alone = match(ANCHORS, OBJECTS, ignore=CROWD, **RPN)
    assert batch.labels.numpy().tolist() == [[0] * 6, alone.labels.numpy().tolist(), [0] * 6]
    np.testing.assert_array_equal(batch.objects[1], alone.objects)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_objects_stay_exact_beside_16_bit_boxes(dtype):
    """An object of width 1001 would be 1000 wide in bfloat16, and the IoU 1."""
    matches = match(tf.constant([[0, 0, 512, 1000]], dtype), tf.constant([[0.0, 0, 512, 1001]]))
    np.testing.assert_allclose(matches.ious, [1000 / 1001], rtol=1e-6)


@pytest.mark.parametrize(
    ("positive_iou", "negative_iou"), [(0.5, (0.0, 0.6)), (0.5, (0.4, 0.3)), (0.5, (-0.1, 0.3)), (1.5, (0.0, 0.3))]
)
def test_thresholds_out_of_order_are_refused(positive_iou, negative_iou):
    with pytest.raises(ValueError, match="needed is 0 <= low <= high <= positive"):
        match(ANCHORS, OBJECTS, positive_iou=positive_iou, negative_iou=negative_iou)


@pytest.mark.slow
@pytest.mark.parametrize("low_quality", [False, True])
def test_labels_equal_tf_models_official(low_quality):
    box_matcher = pytest.importorskip("official.vision.ops.box_matcher")
    similarity = pytest.importorskip("official.vision.ops.iou_similarity")
    anchors = level_anchors((24, 32), 4, [24], [0.5, 1, 2])
    corners = np.random.RandomState(0).uniform(10, 60, (4, 5, 2))
    sides = np.random.RandomState(1).uniform([26, 18], [32, 22], (4, 5, 2))
    objects = np.concatenate([corners, corners + sides], axis=-1).astype(np.float32)
    matcher = box_matcher.BoxMatcher([0.3, 0.7], [NEGATIVE, IGNORED, POSITIVE], force_match_for_each_col=low_quality)
    overlaps = similarity.IouSimilarity()(np.broadcast_to(anchors, (4, *anchors.shape)), objects)
    official_objects, official_labels = matcher(overlaps)
    matches = match(anchors, objects, **{**RPN, "allow_low_quality_matches": low_quality})
    assert {-1, 0, 1} == set(np.unique(matches.labels))
    np.testing.assert_array_equal(matches.labels, official_labels)
    by_threshold = matches.ious.numpy() >= 0.7
    np.testing.assert_array_equal(matches.objects.numpy()[by_threshold], official_objects.numpy()[by_threshold])


@pytest.mark.slow
def test_targets_of_anchors_equal_tf_models_official():
    """Labels exactly and deltas to 1e-5, over three levels; its labeler samples all anchors of 96 x 128 pixels."""
    official = pytest.importorskip("official.vision.ops.anchor")
    anchors = official.Anchor(2, 4, 1, [2.0, 1.0, 0.5], 4.0, (96, 128)).multilevel_boxes
    objects = np.float32([[12.3, 10.1, 40.2, 44.4], [30.5, 60.2, 90.7, 120.1], [2.3, 70.1, 10.2, 95.1]])
    labeler = official.RpnAnchorLabeler(0.7, 0.3, 10**5, 0.5)
    labels, targets = labeler.label_anchors(anchors, tf.constant(objects), tf.ones((3, 1)))
    labels = np.concatenate([np.ravel(each) for each in labels.values()])
    targets = np.concatenate([np.reshape(each, (-1, 4)) for each in targets.values()])
    ours = np.concatenate([np.reshape(each, (-1, 4)) for each in anchors.values()])
    matches = match(ours, objects, **RPN)
    assert {-1, 0, 1} == set(labels)
    np.testing.assert_array_equal(matches.labels, labels)
    positive = labels == 1
    encoded = encode(tf.gather(objects, matches.objects), ours)
    np.testing.assert_allclose(encoded[positive], targets[positive], atol=1e-5)
