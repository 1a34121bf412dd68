"""Masks of COCO's annotations: polygons, runs as a list, compressed runs, and what cannot be used."""

import numpy as np
import pytest

from keras_resnet.data.coco_masks import read_mask
from keras_resnet.data.run_lengths import decode, encode

SQUARE = [[20, 10, 26, 10, 26, 14, 20, 14]]  # x and y of the corners: rows 10 to 13, columns 20 to 25
MASK = np.zeros((40, 50), bool)
MASK[10:14, 20:26] = True


@pytest.mark.parametrize(
    "segmentation",
    [
        SQUARE,
        [[20, 10, 23, 10, 23, 14, 20, 14], [23, 10, 26, 10, 26, 14, 23, 14]],
        {"size": [40, 50], "counts": encode(MASK).decode()},
        {"size": [40, 50], "counts": [20 * 40 + 10, *[4, 36] * 5, 4, 24 * 40 + 26]},
    ],
    ids=("polygon", "two polygons", "compressed", "list"),
)
def test_read_mask(segmentation):
    np.testing.assert_array_equal(decode(read_mask(segmentation, 40, 50), (40, 50)), MASK)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "segmentation None; expected polygons or run lengths"),
        ([], r"segmentation \[\]; expected polygons"),
        ([[1, 2, 3, 4]], r"polygon 0 is \[1, 2, 3, 4\]; expected x and y of three corners"),  # cocoapi#139: not a box
        ([SQUARE[0], [1, 2, 3, 4, 5, 6, 7]], "polygon 1 is .*; expected x and y of three corners"),
        ([[1, 2, 3, 4, 5, float("nan")]], "expected finite numbers"),
        ([[1, 2, 3, 4, 5, "6"]], "expected finite numbers"),
        ([[90, 90, 95, 90, 95, 95]], "its polygons cover no pixel"),
        ({"size": [50, 40], "counts": [2000]}, r"of the size \[50, 40\]; expected that of the image, \[40, 50\]"),
        ({"size": [40, 50], "counts": [1000, 1]}, "run lengths of 1,001 pixels; expected 40 x 50"),
        ({"size": [40, 50], "counts": [2000]}, "have no pixel of the object"),
        ({"size": [40, 50], "counts": [-1, 2001]}, "expected a string or numbers from 0"),
        ({"size": [40, 50], "counts": "\x00"}, "damaged run lengths"),
    ],
)
def test_unusable_masks_say_what_is_wrong(segmentation, message):
    with pytest.raises(ValueError, match=message):
        read_mask(segmentation, 40, 50)
