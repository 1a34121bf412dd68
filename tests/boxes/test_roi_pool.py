"""RoI max pooling by hand, and beside loops over boxes, bins and cells."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.roi_pool import roi_pool
from keras_resnet.description import Description, Preprocessing
from keras_resnet.export.onnx import write_onnx
from keras_resnet.specs import SPECS


def reference(feature, stride, boxes, bins):
    """feature (h, w, C), boxes (R, 4) -> (R, bins, bins, C): Fast R-CNN's definition, cell by cell."""
    height, width, channels = feature.shape
    result = np.zeros((len(boxes), bins, bins, channels), np.float32)
    for number, box in enumerate(boxes):
        y1, x1, y2, x2 = (math.floor(each / stride + 0.5) for each in (box[0], box[1], box[2] - 1, box[3] - 1))
        rows, columns = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(bins):
            for j in range(bins):
                top, bottom = y1 + i * rows // bins, y1 + math.ceil((i + 1) * rows / bins)
                left, right = x1 + j * columns // bins, x1 + math.ceil((j + 1) * columns / bins)
                cells = feature[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
                if cells.size:
                    result[number, i, j] = cells.max((0, 1))
    return result


def pooled(feature, stride, boxes, bins):
    return roi_pool(tf.constant(feature)[None], stride, tf.constant([boxes], tf.float32), bins)[0].numpy()


def test_bins_by_hand():
    """A map of 4x5 cells of 16 pixels; the cell in row y and column x is 5 y + x.

    48 pixels end with number 47, which is rounded to cell 3, and 24 with 23, rounded to cell 1. Pixel 24 is rounded up
    to cell 2: columns 2 to 4 have the bins 2 to 3 and 3 to 4. The last box is outside.
    """
    feature = np.arange(20, dtype=np.float32).reshape(4, 5, 1)
    boxes = [[0, 0, 48, 48], [0, 0, 24, 24], [0, 24, 16, 72], [100, 100, 120, 120]]
    expected = [[[6, 8], [16, 18]], [[0, 1], [5, 6]], [[3, 4], [8, 9]], [[0, 0], [0, 0]]]
    np.testing.assert_array_equal(pooled(feature, 16, boxes, 2)[..., 0], expected)


@pytest.mark.parametrize(("height", "width", "stride", "bins"), [(5, 6, 8, 3), (38, 50, 16, 14), (1, 1, 16, 7)])
def test_bins_equal_loops_over_their_cells(height, width, stride, bins):
    random = np.random.RandomState(0)
    feature = random.normal(size=(height, width, 2)).astype(np.float32)
    y, x = (np.sort(random.uniform(0, size * stride, (40, 2)), axis=1) for size in (height, width))
    boxes = np.stack([y[:, 0], x[:, 0], y[:, 1], x[:, 1]], axis=1).astype(np.float32)
    boxes[0] = [0, 0, height * stride, width * stride]
    np.testing.assert_array_equal(pooled(feature, stride, boxes, bins), reference(feature, stride, boxes, bins))


def test_gradient_goes_to_the_maximum_of_each_bin_once():
    """Cell 6 is the maximum of the first bin, and no cell outside of the bins' maxima has a gradient."""
    feature = tf.constant(np.arange(20, dtype=np.float32).reshape(1, 4, 5, 1))
    with tf.GradientTape() as tape:
        tape.watch(feature)
        value = tf.reduce_sum(roi_pool(feature, 16, tf.constant([[[0.0, 0, 48, 48]]]), 2))
    gradient = tf.convert_to_tensor(tape.gradient(value, feature)).numpy().reshape(-1)
    assert np.flatnonzero(gradient).tolist() == [6, 8, 16, 18]
    assert gradient.sum() == 4


@pytest.mark.slow
def test_onnx_has_the_same_bins(tmp_path):
    """onnxruntime divides integers as C does: -7 / 2 is -3 there, and -4 in TensorFlow."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    random = np.random.RandomState(0)
    feature = random.normal(size=(1, 5, 6, 3)).astype(np.float32)
    corners = random.uniform(0, 20, (1, 12, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + random.uniform(0, 20, (1, 12, 2))], axis=-1).astype(np.float32)

    def network(images):
        there = tf.constant(boxes) + 0 * tf.reduce_sum(images)  # a constant would be pooled by the converter
        return {"rois": roi_pool(images, 8, there, 3)}

    path = str(tmp_path / "pool.onnx")
    description = Description(spec=SPECS["scene_resnet14"], preprocessing=Preprocessing())
    write_onnx(network, tf.TensorSpec(feature.shape, name="images"), path, description)
    (found,) = runtime.InferenceSession(path).run(["rois"], {"images": feature})
    np.testing.assert_array_equal(found, network(tf.constant(feature))["rois"])
