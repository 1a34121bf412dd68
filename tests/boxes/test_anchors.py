import numpy as np
import pytest

from keras_resnet.boxes.anchors import cell_anchors, level_anchors


def test_level_anchors_are_centered_in_their_cells():
    """A 2x2 map of stride 16: centers at 8 and 24, rows first."""
    expected = [[-8, -8, 24, 24], [-8, 8, 24, 40], [8, -8, 40, 24], [8, 8, 40, 40]]
    np.testing.assert_array_equal(level_anchors((2, 2), 16, [32], [1]), expected)


def test_ratio_is_height_over_width():
    np.testing.assert_array_equal(cell_anchors([32], [4]), [[-32, -8, 32, 8]])


def test_torchvision_convention_has_rounded_anchors_at_the_corner():
    """Half sides of 32 pixels: 32 / 2 * sqrt(2) = 22.6, and 11.3."""
    anchors = level_anchors((1, 2), 16, [32], [0.5, 1, 2], "torchvision")
    first = [[-11, -23, 11, 23], [-16, -16, 16, 16], [-23, -11, 23, 11]]
    np.testing.assert_array_equal(anchors[:3], first)
    np.testing.assert_array_equal(anchors[3:], np.add(first, [0, 16, 0, 16]))


def test_detectron2_convention_has_anchors_at_the_corner_as_they_are():
    anchors = level_anchors((1, 1), 16, [32], [0.5], "detectron2")
    np.testing.assert_allclose(anchors, [[-(128**0.5), -(512**0.5), 128**0.5, 512**0.5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("convention", "heights"),
    [("tf_models", [4, 16, 8, 32]), ("detectron2", [4, 16, 8, 32]), ("torchvision", [4, 8, 16, 32])],
)
def test_order_of_sizes_and_ratios(convention, heights):
    anchors = level_anchors((1, 1), 16, [8, 16], [0.25, 4], convention)
    np.testing.assert_array_equal(anchors[:, 2] - anchors[:, 0], heights)


def test_anchors_are_float32():
    assert level_anchors((2, 3), 8, [16, 20], [0.5, 1, 2]).dtype == np.float32
    assert level_anchors((2, 3), 8, [16, 20], [0.5, 1, 2]).shape == (36, 4)


def test_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="convention is 'keras'; allowed are tf_models, torchvision, detectron2"):
        level_anchors((1, 1), 16, [32], [1], "keras")


@pytest.mark.slow
def test_level_anchors_equal_tf_models_official():
    """tf-models-official's aspect ratio is width / height."""
    anchor = pytest.importorskip("official.vision.ops.anchor")
    official = anchor.Anchor(2, 4, 2, [2.0, 1.0, 0.5], 4.0, (96, 128)).multilevel_boxes
    for level in (2, 3, 4):
        stride = 2**level
        sizes = [4 * stride, 4 * stride * 2**0.5]
        anchors = level_anchors((96 // stride, 128 // stride), stride, sizes, [0.5, 1, 2])
        np.testing.assert_allclose(anchors, np.reshape(official[str(level)], (-1, 4)), atol=1e-4)
