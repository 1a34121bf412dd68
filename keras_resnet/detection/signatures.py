"""Provides the signatures of an exported detector as TensorFlow functions."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.data.example_images import ExampleImages
from keras_resnet.data.requests import box_signatures, decode_request
from keras_resnet.data.transforms import letterbox_ratio, prepare, prepare_batch
from keras_resnet.description import Description
from keras_resnet.detection.detector import Detector, Networks


def detection_signatures(
    network: Callable, description: Description, settings: Export
) -> dict[str, tuple[Callable, list]]:
    """Returns functions and input specs by name, with the default signature first.

    Args:
        network: letterboxed images (N, H, W, 3) float32 in [0, 255] -> {"boxes", "scores", "classes",
            "num_detections"}, boxes in pixels of these images, and "masks" if the detector has them.
        description: description with preprocessing and class names.
        settings: the group `export` of a configuration.

    Returns:
        serving_default: image_bytes (N,), JPEG, PNG, GIF or BMP of any size -> boxes (N, D, 4) float32, y1 x1 y2 x2 in
            pixels of the image, classes (N, D) int32, labels (N, D) string, scores (N, D) float32, best first,
            num_detections (N,) int32, and status (N,) string. What follows the detections is zero, with label "". A row
            whose status is not "OK" has no detections. A detector with masks returns masks (N, D, m, m) float32 too,
            the probabilities of m x m cells of each box.
        predict_images, predict_images_uint8: images (N, H, W, C) float32 or uint8 in [0, 255], of any size -> boxes,
            classes, scores, num_detections and any masks. Images of the network's size are not resized.
        network: as `network`, for converters to other formats.
    """
    preprocessing, names = description.preprocessing, tf.constant(description.labels)
    side, _, channels = preprocessing.image_shape

    def prepare_one(pixels):
        return prepare(pixels, preprocessing), tf.shape(pixels)[:2]

    def serving_default(image_bytes):
        specs = tf.TensorSpec(preprocessing.image_shape), tf.TensorSpec((2,), tf.int32)
        (images, sizes), readable, status = decode_request(image_bytes, prepare_one, specs, channels, settings)
        found = in_images(network(images), tf.where(readable[:, None], sizes, side))
        counts = tf.where(readable, found["num_detections"], 0)
        rows = tf.range(found["classes"].shape[1])[None] < counts[:, None]
        masks = {"masks": tf.where(rows[..., None, None], found["masks"], 0.0)} if "masks" in found else {}
        return masks | {
            "boxes": tf.where(rows[..., None], found["boxes"], 0.0),
            "classes": tf.where(rows, found["classes"], 0),
            "labels": tf.where(rows, tf.gather(names, found["classes"]), ""),
            "scores": tf.where(rows, found["scores"], 0.0),
            "num_detections": counts,
            "status": status,
        }

    def in_images(found, sizes):
        """Returns the detections with boxes in pixels of images of these sizes (N, 2), and inside of them."""
        sizes = tf.cast(sizes, tf.float32)
        boxes = found["boxes"] / letterbox_ratio(sizes, side)[:, None, None]
        return found | {"boxes": tf.minimum(boxes, tf.tile(sizes, (1, 2))[:, None])}

    def predict_images(images):
        sizes = tf.tile(tf.shape(images)[None, 1:3], (tf.shape(images)[0], 1))
        return in_images(network(prepare_batch(images, preprocessing)), sizes)

    return box_signatures(serving_default, predict_images, network, preprocessing)


class DetectorExport:
    """A detector in the form that `export_model` takes.

    Args:
        description: the network, its preprocessing, its class names and options.
        settings: the group `export` of a configuration.
        images: the images that artifacts are compared on.
    """

    kind, comparison, has_stages = "detectors", "detections", False
    precisions = ("float32", "float16")
    batch, call_bytes = 1, 16_000_000

    def __init__(self, description: Description, settings: Export, images: ExampleImages):
        self.description, self.settings = description, settings
        self.example_images, self.calibration_images = images.example_images, images.calibration_images

    def network(self, model: Detector, change: Callable, stages: bool = False):
        """Returns a function images -> detections."""
        networks = Networks(change(model.trunk), model.roi_head)
        if model.options.design == "c4":
            networks = networks._replace(roi_head=change(model.roi_head))

        def network(images):
            found = model.detect(images, networks=networks).named()
            return {"num_detections": found.pop("counts"), **found}

        return network

    def signatures(self, network: Callable, stages: bool = False):
        """Returns the exported functions, see `detection_signatures`."""
        return detection_signatures(network, self.description, self.settings)
