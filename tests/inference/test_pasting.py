"""Masks are pasted into their boxes."""

import numpy as np

from keras_resnet.data.run_lengths import decode
from keras_resnet.inference.pasting import pasted


def paste(mask, box, size=(40, 50)):
    return decode(next(pasted(np.asarray(mask, np.float32)[None], np.array([box], np.float32), size)), size)


def test_ones_fill_exactly_their_box():
    """torchvision's pasting is shifted (vision#5845): it rounds boxes and adds a pixel."""
    found = paste(np.ones((28, 28)), (10, 20, 14, 26))
    expected = np.zeros((40, 50), bool)
    expected[10:14, 20:26] = True
    np.testing.assert_array_equal(found, expected)


def test_pixels_belong_to_a_box_that_has_their_center():
    assert np.argwhere(paste(np.ones((4, 4)), (1.4, 2.6, 3.6, 4.4))).tolist() == [[1, 3], [2, 3], [3, 3]]


def test_boxes_at_the_border_and_without_area():
    assert paste(np.ones((4, 4)), (-5, -5, 2, 3)).sum() == 6
    assert not paste(np.ones((4, 4)), (7, 7, 7, 7)).any()
    assert not paste(np.ones((4, 4)), (60, 60, 70, 70)).any()


def test_values_are_interpolated_between_cells():
    """Two cells of 0 and 1 over ten pixels: the value is 0.5 in the middle, between pixels 4 and 5."""
    found = paste([[0, 1], [0, 1]], (0, 0, 2, 10), (2, 10))
    np.testing.assert_array_equal(found[0], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    found = paste([[0, 0.8], [0, 0.8]], (0, 0, 2, 10), (2, 10))  # 0.8 * (k + 0.5 - 2.5) / 5 >= 0.5 from k = 6 on
    np.testing.assert_array_equal(found[0], [0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
