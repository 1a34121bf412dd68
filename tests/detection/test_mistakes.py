"""Confusions with the background, and the mistakes of images, by hand."""

import numpy as np
from made_results import collected, step

from keras_resnet.detection.mistakes import FALSE, LEFT_OUT, confusion, match, worst

A, B, C, D = ((20 * i, 0, 20 * i + 10, 10) for i in range(4))
NEAR_A, HALF_A = (0, 0, 10, 9), (0, 0, 10, 6)  # IoU 0.9 and 0.6
FAR = (100, 100, 120, 120)
CROWD = (200, 200, 300, 300)


def matches(*steps):
    return [match(image) for image in collected(None, *steps).images]


def test_match_takes_the_highest_score_first_irrespective_of_class():
    """The wrong class takes A and leaves the right one false; the score of B is too low; C is found; D is missed."""
    true = [(A, 0), (B, 0), (C, 1), (D, 1), (CROWD, 0, True)]
    inside = (210, 210, 220, 220)
    found = [
        (HALF_A, 1, 0.9),
        (NEAR_A, 0, 0.8),
        (C, 1, 0.7),
        (inside, 1, 0.6),
        (CROWD, 0, 0.6),
        (FAR, 0, 0.5),
        (B, 0, 0.49),
    ]
    (found,) = matches(step(true, found))
    assert found.objects.tolist() == [0, FALSE, 2, LEFT_OUT, LEFT_OUT, FALSE]
    assert found.missed.tolist() == [False, True, False, True, False]
    assert found.right.tolist() == [False, False, True, False, False, False]
    assert found.counts() == {"objects": 4, "missed": 2, "false": 2, "wrong class": 1}
    assert confusion([found], 2).tolist() == [[0, 1, 1], [0, 1, 1], [2, 0, 0]]


def test_match_takes_the_free_object_with_the_greatest_overlap():
    """The second detection overlaps both objects by half or more and takes the one that is left."""
    one, two = (0, 0, 10, 10), (0, 0, 10, 7)
    (found,) = matches(step([(one, 0), (two, 0)], [(two, 0, 0.9), ((0, 0, 10, 8), 0, 0.8)]))
    assert found.objects.tolist() == [1, 0]
    assert found.mistakes == 0


def test_images_without_objects_or_detections():
    nothing, only_false, only_missed = matches(step([], []), step([], [(A, 0, 0.9)]), step([(A, 0)], []))
    assert confusion([nothing, only_false, only_missed], 1).tolist() == [[0, 1], [1, 0]]
    assert worst([nothing, only_false, only_missed]) == [only_false, only_missed]


def test_worst_images_have_most_mistakes():
    steps = [step([(A, 0)], [(A, 0, 0.9)]), step([(A, 0)], []), step([(A, 0), (B, 0)], [(A, 1, 0.9)])]
    found = worst(matches(*steps))
    assert [each.image.index for each in found] == [2, 1]
    assert [each.mistakes for each in found] == [2, 1]
    assert np.sum([confusion([each], 2).trace() for each in found]) == 0
