"""The signatures of an exported detector: boxes in pixels of the image sent in, whatever its size and its neighbors."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Export
from keras_resnet.description import Description, Preprocessing
from keras_resnet.detection.signatures import detection_signatures
from keras_resnet.export.comparisons import detections as comparison
from keras_resnet.export.report import judge
from keras_resnet.inference.postprocessing import best_objects
from keras_resnet.specs import SPECS

SIDE = 32
DESCRIPTION = Description(
    spec=SPECS["scene_resnet14"],
    preprocessing=Preprocessing(image_size=SIDE, crop_pct=1.0, channels=3, resize="letterbox"),
    labels=("cat", "dog"),
    source="",
)


def network(images):
    """Finds a dog in the upper left quarter of every square, and a cat that reaches over the whole of it."""
    count = tf.shape(images)[0]
    boxes = tf.constant([[0.0, 0, 16, 16], [4, 8, 32, 32], [0, 0, 0, 0]])
    scores = tf.constant([0.75, 0.5, 0])
    return {
        "boxes": tf.tile(boxes[None], (count, 1, 1)),
        "scores": tf.tile(scores[None], (count, 1)),
        "classes": tf.tile(tf.constant([[1, 0, 0]]), (count, 1)),
        "num_detections": tf.fill([count], 2),
    }


def graph(name, settings=None):
    function, specs = detection_signatures(network, DESCRIPTION, settings or Export())[name]
    return tf.function(function, input_signature=specs, autograph=False)


def png(height, width):
    content = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(content, format="png")
    return content.getvalue()


def test_boxes_are_in_pixels_of_images_of_any_size():
    """Two aspect ratios in one trace (TF Serving issue 1674): 80 pixels are 32 of the square, so one is 2.5."""
    predict = graph("predict_images_uint8")
    for shape, boxes in {
        (40, 80): [[0, 0, 40, 40], [10, 20, 40, 80]],
        (80, 40): [[0, 0, 40, 40], [10, 20, 80, 40]],
        (32, 32): [[0, 0, 16, 16], [4, 8, 32, 32]],
    }.items():
        found = predict(tf.zeros((2, *shape, 3), tf.uint8))
        np.testing.assert_allclose(found["boxes"][1, :2], boxes, atol=1e-4)
        assert found["num_detections"].numpy().tolist() == [2, 2]
    assert predict.experimental_get_tracing_count() == 1


def test_bad_image_of_a_request_has_a_status_and_harms_no_other():
    contents = [png(40, 80), b"no image", png(16, 8), b""]
    found = {name: value.numpy() for name, value in graph("serving_default")(tf.constant(contents)).items()}
    assert [status == b"OK" for status in found["status"]] == [True, False, True, False]
    assert found["num_detections"].tolist() == [2, 0, 2, 0]
    np.testing.assert_allclose(found["boxes"][0], [[0, 0, 40, 40], [10, 20, 40, 80], [0, 0, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(found["boxes"][2], [[0, 0, 8, 8], [2, 4, 16, 8], [0, 0, 0, 0]], atol=1e-4)
    assert found["labels"][0].tolist() == [b"dog", b"cat", b""]
    for row in (1, 3):
        assert not found["boxes"][row].any()
        assert not found["scores"][row].any()
        assert found["labels"][row].tolist() == [b""] * 3


@pytest.mark.slow
def test_request_with_a_bad_image_fails_if_the_settings_say_so():
    predict = graph("serving_default", Export(on_invalid_image="fail"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1 is no JPEG"):
        predict(tf.constant([png(8, 8), b"no image"]))


def test_files_of_other_runtimes_give_the_same_boxes():
    """What `predict` does for LiteRT and ONNX equals the signature of the SavedModel."""
    outputs = {name: value.numpy() for name, value in network(tf.zeros((2, SIDE, SIDE, 3))).items()}
    first, second = best_objects(outputs, DESCRIPTION.labels, 5, [(40, 80), (16, 8)], SIDE)
    assert first.labels == second.labels == ("dog", "cat")
    np.testing.assert_allclose(first.boxes, [[0, 0, 40, 40], [10, 20, 40, 80]], atol=1e-4)
    np.testing.assert_allclose(second.boxes, [[0, 0, 8, 8], [2, 4, 16, 8]], atol=1e-4)
    assert len(best_objects(outputs, DESCRIPTION.labels, 1, [(40, 80)], SIDE)[0].boxes) == 1


def test_box_beside_the_image_is_no_object():
    """The image has 40 of the 80 rows of its letterbox: the first is below it, the second reaches into it."""
    outputs = {
        "boxes": np.float32([[[45, 0, 80, 40], [0, 0, 80, 40], [20, 80, 30, 80]]]) * SIDE / 80,
        "scores": np.float32([[0.9, 0.8, 0.7]]),
        "classes": np.int32([[0, 1, 0]]),
        "masks": np.ones((1, 3, 4, 4), np.float32),
        "num_detections": np.int32([3]),
    }
    (found,) = best_objects(outputs, DESCRIPTION.labels, 1, [(40, 80)], SIDE)
    assert found.labels == (DESCRIPTION.labels[1],)
    assert found.scores == (np.float32(0.8),)
    np.testing.assert_allclose(found.boxes, [[0, 0, 40, 40]], atol=1e-4)
    assert len(found.masks) == 1


def changed(**changes):
    """Returns the network's outputs for two images, with rows of the first image replaced."""
    outputs = {name: value.numpy() for name, value in network(tf.zeros((2, SIDE, SIDE, 3))).items()}
    for name, (place, value) in changes.items():
        outputs[name][(0, *place)] = value
    return outputs


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, None),
        ({"boxes": ((0, 2), 16.005)}, None),
        ({"boxes": ((0, 2), 16.02)}, "boxes differ by 0.02 pixels, allowed 0.01"),
        ({"scores": ((0,), 0.7502)}, "scores differ by 0.0002, allowed 0.0001"),
        ({"classes": ((0,), 0)}, "75.0 % of 4 objects found by both, at least 99 % expected"),
        ({"boxes": ((0, 3), 20)}, "75.0 % of 4 objects found by both"),
        ({"num_detections": ((), 1)}, "85.7 % of 4 objects found by both"),
        ({"num_detections": ((), 0)}, "66.7 % of 4 objects found by both"),
    ],
)
def test_comparison_of_detections_by_hand(changes, wrong):
    parity = comparison.compared(changed(**changes), changed(), 2)
    artifact = {"format": "litert", "precision": "float32", "parity": parity}
    found = judge(artifact, "detections")
    assert bool(found) == bool(wrong)
    assert not wrong or wrong in found[0]
    assert artifact["holds"] == (wrong is None)


def test_comparison_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="boxes of shape"):
        comparison.compared(changed(boxes=((0, 0), np.nan)), changed(), 2)
