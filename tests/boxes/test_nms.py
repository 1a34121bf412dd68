import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.nms import class_nms, nms, take


def kept(result):
    """The indices of each image, without padding."""
    assert all(not row[count:].numpy().any() for row, count in zip(*result, strict=True))
    return [row[:count].numpy().tolist() for row, count in zip(*result, strict=True)]


# The second box overlaps the first with an IoU of .6, the third with .25, the last not at all.
BOXES = [[0, 0, 10, 10], [0, 0, 10, 6], [5, 4, 15, 14], [50, 50, 60, 60]]


def test_nms_by_hand():
    scores = [[0.9, 0.8, 0.7, 0.95]]
    assert kept(nms([BOXES], scores, 4, 0.5)) == [[3, 0, 2]]
    assert kept(nms([BOXES], scores, 4, 0.61)) == [[3, 0, 1, 2]]
    assert kept(nms([BOXES], scores, 4, 0.1)) == [[3, 0]]
    assert kept(nms([BOXES], scores, 2, 0.61)) == [[3, 0]]
    assert kept(nms([BOXES], scores, 4, 0.61, 0.75)) == [[3, 0, 1]]
    assert kept(nms([BOXES], [[-1.0, -2.0, -3.0, -np.inf]], 4, 0.5)) == [[0, 2]]


def test_suppressed_box_suppresses_nothing():
    chain = [[0, 0, 10, 10], [0, 4, 10, 14], [0, 8, 10, 18]]  # neighbors with an IoU of 6 / 14
    assert kept(nms([chain], [[0.9, 0.8, 0.7]], 3, 0.4)) == [[0, 2]]


def test_boxes_suppress_boxes_of_their_class_only():
    scores = [[0.9, 0.8, 0.7, 0.95]]
    assert kept(class_nms([BOXES], scores, [[0, 1, 0, 0]], 4, 0.5)) == [[3, 0, 1, 2]]
    assert kept(class_nms([BOXES], scores, [[0, 0, 0, 0]], 4, 0.5)) == [[3, 0, 2]]
    assert kept(class_nms([BOXES], scores, [[1, 1, 0, 1]], 4, 0.5)) == [[3, 0, 2]]


def test_classes_are_apart_with_negative_coordinates():
    """Moved by the greatest coordinate + 1 alone, the second box would cover the first."""
    boxes = [[[0, 0, 10, 10], [-11, -11, -1, -1]]]
    assert kept(class_nms(boxes, [[0.9, 0.8]], [[0, 1]], 2, 0.5)) == [[0, 1]]


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16])
def test_offset_of_label_90_is_exact(dtype):
    """Of two boxes with an IoU of .6, one is kept (MultimediaTechLab/YOLO issue 234, torchvision issue 3371).

    In float16 the offset is infinite and both would be kept.
    """
    boxes = tf.constant([[[1000, 1000, 1080, 1080], [1000, 1000, 1080, 1048]]], dtype)
    assert kept(class_nms(boxes, tf.constant([[0.9, 0.8]], dtype), [[90, 90]], 2, 0.5)) == [[0]]
    assert kept(class_nms(boxes, tf.constant([[0.9, 0.8]], dtype), [[90, 90]], 2, 0.62)) == [[0, 1]]


def test_blank_images_keep_nothing_and_change_no_other():
    """torchvision issues 2251, 2309 and 2311; mmdetection issue 7160."""
    boxes = tf.constant([np.zeros((4, 4)), BOXES, BOXES], tf.float32)
    scores = tf.constant([[0.0] * 4, [0.9, 0.8, 0.7, 0.95], [0.01] * 4])
    classes = tf.constant([[0] * 4, [0, 0, 1, 2], [0] * 4])
    batch = class_nms(boxes, scores, classes, 5, 0.5, 0.05)
    assert batch.indices.shape == (3, 5)
    assert kept(batch) == [[], [3, 0, 2], []]
    assert kept(class_nms(boxes[1:2], scores[1:2], classes[1:2], 5, 0.5, 0.05)) == [[3, 0, 2]]


def test_degenerate_boxes_suppress_nothing():
    boxes = [[[10, 10, 10, 20], [10, 10, 10, 20], [0, 0, 30, 30]]]
    assert kept(nms(boxes, [[0.9, 0.8, 0.7]], 3, 0.1)) == [[0, 1, 2]]


def test_more_than_100_boxes_are_kept_on_request():
    """Detectron2 issue 3359."""
    corners = np.stack([20.0 * np.arange(150), np.zeros(150)], axis=1)
    boxes = np.concatenate([corners, corners + 10], axis=1)[None]
    assert nms(boxes, np.ones((1, 150)), 150, 0.5).counts.numpy() == [150]
    assert nms(boxes, np.ones((1, 150)), 100, 0.5).counts.numpy() == [100]


def test_take_has_zeros_in_padding():
    result = nms([BOXES] * 2, [[0.9, 0.8, 0.7, 0.95], [0.0, 0.9, 0.0, 0.0]], 4, 0.5, 0.05)
    np.testing.assert_array_equal(take(result, tf.constant([[5, 6, 7, 8]] * 2)), [[8, 5, 7, 0], [6, 0, 0, 0]])
    np.testing.assert_array_equal(take(result, tf.constant([BOXES] * 2))[1], [BOXES[1], [0] * 4, [0] * 4, [0] * 4])
    assert take(result, tf.ones((2, 4, 3, 3, 2), tf.bfloat16)).shape == (2, 4, 3, 3, 2)


def test_class_nms_equals_onnxruntime():
    """ONNX's operator suppresses the boxes of each class on its own, by the scores of all classes."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    images, count, labels = 3, 60, 4
    random = np.random.RandomState(0)
    corners = random.uniform(-20, 60, (images, count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, corners.shape)], axis=-1).astype(np.float32)
    scores = random.permutation(images * count).reshape(images, count).astype(np.float32) / (images * count)
    classes = random.randint(0, labels, (images, count))
    by_class = np.where(classes[:, None] == np.arange(labels)[:, None], scores[:, None], 0).astype(np.float32)
    node = onnx.helper.make_node("NonMaxSuppression", ["boxes", "scores", "count", "iou", "score"], ["kept"])
    float_, int_ = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    inputs = {"boxes": boxes, "scores": by_class, "count": [count], "iou": [0.3], "score": [0.2]}
    values = [onnx.helper.make_tensor_value_info(name, int_ if name == "count" else float_, None) for name in inputs]
    graph = onnx.helper.make_graph([node], "nms", values, [onnx.helper.make_tensor_value_info("kept", int_, None)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {k: np.asarray(v, np.int64 if k == "count" else np.float32) for k, v in inputs.items()}
    expected = [set() for _ in range(images)]
    for image, _, index in session.run(None, feed)[0]:
        expected[image].add(int(index))
    found = kept(class_nms(boxes, scores, classes, count, 0.3, 0.2))
    assert [set(each) for each in found] == expected
    assert all(0 < len(each) < np.sum(scores[row] > 0.2) for row, each in enumerate(found))
    assert all(np.all(np.diff(scores[row, each]) < 0) for row, each in enumerate(found))
