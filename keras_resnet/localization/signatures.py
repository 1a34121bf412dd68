"""Provides the signatures of an exported localizer as TensorFlow functions."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.data.example_images import ExampleImages
from keras_resnet.data.requests import box_signatures, decode_request
from keras_resnet.data.transforms import prepare, prepare_batch
from keras_resnet.description import Description
from keras_resnet.localization.localizer import Localizer, Located
from keras_resnet.localization.transforms import Geometry, center_geometry


def pairs(found: Located) -> dict[str, tf.Tensor]:
    """Returns the (class, box) pairs as a detector's objects: "boxes", "scores", "classes" and "num_detections"."""
    count = tf.fill([tf.shape(found.classes)[0]], found.classes.shape[1])
    return {"boxes": found.boxes, "scores": found.scores, "classes": found.classes, "num_detections": count}


def localization_signatures(
    network: Callable, description: Description, settings: Export
) -> dict[str, tuple[Callable, list]]:
    """Returns functions and input specs by name, with the default signature first.

    Args:
        network: cropped images (N, H, W, C) float32 in [0, 255] -> `pairs`, boxes in pixels of these images.
        description: description with preprocessing and class names.
        settings: the group `export` of a configuration.

    Returns:
        serving_default: image_bytes (N,), JPEG, PNG, GIF or BMP of any size -> boxes (N, k, 4) float32, y1 x1 y2 x2 in
            pixels of the image, classes (N, k) int32, labels (N, k) string, scores (N, k) float32 of the classifier,
            best first, num_detections (N,) int32, which is k, and status (N,) string. A row whose status is not "OK"
            is zero, with labels "".
        predict_images, predict_images_uint8: images (N, H, W, C) float32 or uint8 in [0, 255], of any size -> boxes,
            classes, scores and num_detections. Images of the network's size are not resized.
        network: as `network`, for converters to other formats.
    """
    preprocessing, names = description.preprocessing, tf.constant(description.labels)
    side, _, channels = preprocessing.image_shape

    def prepare_one(pixels):
        return prepare(pixels, preprocessing), tf.shape(pixels)[:2]

    def in_images(found, geometry, sizes):
        """Returns the pairs with boxes in pixels of images of these sizes (N, 2), and inside of them."""
        limits = tf.tile(tf.cast(sizes, tf.float32), (1, 2))[:, None]
        return found | {"boxes": tf.clip_by_value(geometry.to_image(found["boxes"]), 0.0, limits)}

    def serving_default(image_bytes):
        specs = tf.TensorSpec(preprocessing.image_shape), tf.TensorSpec((2,), tf.int32)
        (images, sizes), readable, status = decode_request(image_bytes, prepare_one, specs, channels, settings)
        sizes = tf.where(readable[:, None], sizes, side)
        found = in_images(network(images), center_geometry(sizes, side, preprocessing.crop_pct), sizes)
        good = readable[:, None]
        return {
            "boxes": tf.where(good[..., None], found["boxes"], 0.0),
            "classes": tf.where(good, found["classes"], 0),
            "labels": tf.where(good, tf.gather(names, found["classes"]), ""),
            "scores": tf.where(good, found["scores"], 0.0),
            "num_detections": tf.where(readable, found["num_detections"], 0),
            "status": status,
        }

    def predict_images(images):
        sizes = tf.tile(tf.shape(images)[None, 1:3], (tf.shape(images)[0], 1))
        start, ratio = center_geometry(sizes, side, preprocessing.crop_pct)
        whole = tf.reduce_all(sizes == side, axis=-1, keepdims=True)  # these are not cropped
        geometry = Geometry(tf.where(whole, 0.0, start), tf.where(whole, 1.0, ratio))
        return in_images(network(prepare_batch(images, preprocessing)), geometry, sizes)

    return box_signatures(serving_default, predict_images, network, preprocessing)


class LocalizerExport:
    """A localizer in the form that `export_model` takes.

    Args:
        description: the network, its preprocessing, its class names and options.
        settings: the group `export` of a configuration.
        images: the images that artifacts are compared on.
    """

    kind, comparison, has_stages = "localizers", "detections", False
    precisions = ("float32", "float16")
    batch, call_bytes = 1, 16_000_000

    def __init__(self, description: Description, settings: Export, images: ExampleImages):
        self.description, self.settings = description, settings
        self.example_images, self.calibration_images = images.example_images, images.calibration_images

    def network(self, model: Localizer, change: Callable, stages: bool = False):
        """Returns a function images -> `pairs`."""
        changed = change(model.network)
        regions = change(model.rcnn.network) if model.rcnn else None
        # "gather" converts to LiteRT's own operators.
        return lambda images: pairs(model.locate(images, network=changed, regions=regions, warp="gather"))

    def signatures(self, network: Callable, stages: bool = False):
        """Returns the exported functions, see `localization_signatures`."""
        return localization_signatures(network, self.description, self.settings)
