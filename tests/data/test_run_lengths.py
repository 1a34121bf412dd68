"""Run lengths of masks: pycocotools is the reference."""

import numpy as np
import pytest
from pycocotools import mask as reference

from keras_resnet.data.run_lengths import compress, decode, decompress, encode


def masks():
    random = np.random.RandomState(0)
    yield from (np.zeros((3, 5), bool), np.ones((3, 5), bool), np.eye(4, dtype=bool), np.ones((1, 1), bool))
    yield from (random.rand(*size) < share for size in ((7, 9), (40, 30), (1, 50)) for share in (0.1, 0.5, 0.9))
    large = np.zeros((900, 1200), bool)
    large[100:850, 50:1100] = True
    large[300:310] = False
    yield large


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: f"{mask.shape}-{mask.mean():.2f}")
def test_run_lengths_are_those_of_pycocotools(mask):
    theirs = reference.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert encode(mask) == theirs
    np.testing.assert_array_equal(decode(theirs, mask.shape), mask)
    assert compress(decompress(theirs)) == theirs


def test_runs_go_down_the_columns():
    """detectron2#573: size (2, 3) and runs 1, 2, 3."""
    np.testing.assert_array_equal(decode(compress(np.array([1, 2, 3])), (2, 3)), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("content", [b"", b"\x10", b"\xff", b"P", b"a" * 12, b"O"], ids=repr)
def test_damaged_run_lengths_are_refused(content):
    with pytest.raises(ValueError, match="damaged run lengths"):
        decompress(content)


def test_run_lengths_of_another_size_are_refused():
    with pytest.raises(ValueError, match="run lengths of 12 pixels, expected 3 x 5"):
        decode(encode(np.eye(3, 4, dtype=bool)), (3, 5))
