"""The signatures of an exported localizer: boxes in pixels of the image sent in, of any size and beside any other."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Export
from keras_resnet.description import Description, Preprocessing
from keras_resnet.inference.postprocessing import best_objects
from keras_resnet.localization.localizer import Located
from keras_resnet.localization.signatures import localization_signatures, pairs
from keras_resnet.specs import SPECS

SIDE = 32
DESCRIPTION = Description(
    spec=SPECS["scene_resnet14"],
    preprocessing=Preprocessing(image_size=SIDE, crop_pct=0.8, channels=3),
    labels=("cat", "dog", "cow"),
)
BOXES = [[0.0, 0, 16, 16], [4, 8, 32, 32]]
# 40 x 80 pixels: resized to 40 x 80 (32 / 0.8), of which rows 4 to 36 and columns 24 to 56 are the crop.
IN_WIDE = [[4, 24, 20, 40], [8, 32, 36, 56]]
IN_SMALL = [[2, 2, 10, 10], [4, 6, 18, 18]]  # 20 x 20 pixels: resized to 40 x 40


def network(images):
    """Finds a dog and a cat in every image."""
    count = tf.shape(images)[0]
    classes, scores = tf.constant([[1, 0]]), tf.constant([[0.75, 0.25]])
    found = Located(classes, scores, tf.constant([BOXES]), scores)
    return pairs(Located(*(tf.repeat(each, count, axis=0) for each in found)))


def graph(name):
    function, specs = localization_signatures(network, DESCRIPTION, Export())[name]
    return tf.function(function, input_signature=specs, autograph=False)


def png(height, width):
    content = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(content, format="png")
    return content.getvalue()


def test_boxes_are_in_pixels_of_images_of_any_size():
    """Images of the network's size are not cropped."""
    predict = graph("predict_images_uint8")
    for shape, boxes in {(40, 80): IN_WIDE, (20, 20): IN_SMALL, (32, 32): BOXES}.items():
        found = predict(tf.zeros((2, *shape, 3), tf.uint8))
        np.testing.assert_allclose(found["boxes"][1], boxes, atol=1e-4)
        assert found["num_detections"].numpy().tolist() == [2, 2]


def test_bad_image_of_a_request_has_a_status_and_harms_no_other():
    contents = [png(40, 80), b"no image", png(20, 20)]
    found = {name: value.numpy() for name, value in graph("serving_default")(tf.constant(contents)).items()}
    assert [status == b"OK" for status in found["status"]] == [True, False, True]
    assert found["num_detections"].tolist() == [2, 0, 2]
    np.testing.assert_allclose(found["boxes"][[0, 2]], [IN_WIDE, IN_SMALL], atol=1e-4)
    assert found["labels"].tolist() == [[b"dog", b"cat"], [b"", b""], [b"dog", b"cat"]]
    assert not found["boxes"][1].any()
    assert not found["scores"][1].any()


def test_files_of_other_runtimes_give_the_same_boxes():
    """What `predict` does for LiteRT and ONNX equals the signature of the SavedModel."""
    outputs = {name: value.numpy() for name, value in network(tf.zeros((2, SIDE, SIDE, 3))).items()}
    wide, small = best_objects(outputs, DESCRIPTION.labels, 5, [(40, 80), (20, 20)], SIDE, crop_pct=0.8)
    assert wide.labels == small.labels == ("dog", "cat")
    np.testing.assert_allclose(wide.boxes, IN_WIDE, atol=1e-4)
    np.testing.assert_allclose(small.boxes, IN_SMALL, atol=1e-4)
