"""Provides the signatures of an exported classifier as TensorFlow functions."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.data import transforms
from keras_resnet.data.example_images import ExampleImages
from keras_resnet.data.requests import decode_request
from keras_resnet.data.transforms import prepare_batch
from keras_resnet.description import Description
from keras_resnet.errors import ConfigError
from keras_resnet.export.graph import answers, plain_network


def classification_signatures(
    network: Callable,
    description: Description,
    settings: Export,
    stages: bool = False,
    activation: Callable = tf.nn.softmax,
) -> dict[str, tuple[Callable, list]]:
    """Returns functions and input specs by name, with the default signature first.

    Args:
        network: preprocessed images (N, H, W, C) float32 in [0, 255] -> {"logits": (N, classes), "features": (N, F),
            "stage1": (N, h, w, c), ...}, float32.
        description: description with preprocessing and class names.
        settings: the group `export` of a configuration.
        stages: also export the outputs of the network's stages.
        activation: logits (N, classes) -> scores (N, classes).

    Returns:
        serving_default: image_bytes (N,), JPEG, PNG, GIF or BMP of any size -> classes (N, k) int32, labels (N, k)
            string, scores (N, k) float32, best first, and status (N,) string. A row whose status is not "OK" has
            classes -1, labels "" and scores 0.
        predict_images, predict_images_uint8: images (N, H, W, C) float32 or uint8 in [0, 255], of any size ->
            logits and scores (N, classes) float32. Images of the network's size are not resized.
        features: images as for predict_images -> features (N, F) float32, the average of the last feature map.
        network: preprocessed images (N, *image_shape) float32 in [0, 255] -> logits and scores (N, classes) float32.
            It does not resize, so that XLA, TensorRT and converters to other formats support it.
        stages: images as for predict_images -> stage1 (N, h, w, c) float32, ...

        For images of more than three channels, which no decoder of TensorFlow reads, serving_default is predict_images,
        in the units of the training files.
    """
    preprocessing, names = description.preprocessing, tf.constant(description.labels)
    top_k = settings.top_k or min(5, len(description.labels))
    spec = tf.TensorSpec(preprocessing.image_shape)

    def prepare(pixels):
        return transforms.prepare(pixels, preprocessing)

    def outputs(images):
        return network(prepare_batch(images, preprocessing))

    def serving_default(image_bytes):
        images, readable, status = decode_request(
            image_bytes, prepare, spec, spec.shape[2], settings, preprocessing.exif_orientation
        )
        scores, classes = tf.math.top_k(activation(network(images)["logits"]), k=top_k)
        good = readable[:, None]
        return {
            "classes": tf.where(good, classes, -1),
            "labels": tf.where(good, tf.gather(names, classes), ""),
            "scores": tf.where(good, scores, 0.0),
            "status": status,
        }

    def predict_images(images):
        return alone(prepare_batch(images, preprocessing))

    def alone(images):
        logits = network(images)["logits"]
        return {"logits": logits, "scores": activation(logits)}

    def features(images):
        return {"features": outputs(images)["features"]}

    def stage_outputs(images):
        return {name: value for name, value in outputs(images).items() if name.startswith("stage")}

    def images_of(dtype):
        return [tf.TensorSpec([None, None, None, preprocessing.channels], dtype, name="images")]

    functions = {
        "serving_default": (serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")]),
        "predict_images": (predict_images, images_of(tf.float32)),
        "predict_images_uint8": (predict_images, images_of(tf.uint8)),
        "features": (features, images_of(tf.float32)),
        "network": (alone, [tf.TensorSpec([None, *preprocessing.image_shape], tf.float32, name="images")]),
    }
    if preprocessing.image_shape[2] > 3:
        functions["serving_default"] = functions["predict_images"]
        del functions["predict_images_uint8"]
    return functions | ({"stages": (stage_outputs, images_of(tf.float32))} if stages else {})


class ClassifierExport:
    """A classifier in the form that `export_model` takes.

    Args:
        description: the network, its preprocessing and its class names.
        settings: the group `export` of a configuration.
        images: the images that artifacts are compared on.

    Raises:
        ConfigError: `settings.top_k` is greater than the number of classes.
    """

    kind, comparison, has_stages = "classifiers", "scores", True
    precisions: tuple[str, ...] = ("float32", "float16", "bfloat16", "dynamic", "int8")
    batch = call_bytes = None

    def __init__(self, description: Description, settings: Export, images: ExampleImages):
        classes = len(description.labels)
        if settings.top_k and settings.top_k > classes:
            raise ConfigError(f"export.top_k: {settings.top_k} is more than the {classes} classes of the network")
        if (description.preprocessing.channels or 0) > 3:  # whose values may leave [0, 255]
            self.precisions = tuple(name for name in self.precisions if name != "int8")
        self.description, self.settings = description, settings
        self.example_images, self.calibration_images = images.example_images, images.calibration_images

    def network(self, model: keras.Model, change: Callable, stages: bool = False):
        """Returns a function images -> {"logits", "features"}, and {"stage1", ...} with `stages`."""
        return plain_network(change(answers(model, stages)))

    def signatures(self, network: Callable, stages: bool = False):
        """Returns the exported functions, see `classification_signatures`."""
        return classification_signatures(network, self.description, self.settings, stages)
