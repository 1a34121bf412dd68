"""Provides the signatures of an exported classifier as TensorFlow functions."""

import glob
import os
from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.data import transforms
from keras_resnet.data.decode import MAX_ASPECT, decode, decode_all, reasons
from keras_resnet.data.photographs import cut_squares
from keras_resnet.description import Description, Preprocessing
from keras_resnet.errors import ConfigError, DataError

_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


def prepare_batch(images, preprocessing: Preprocessing):
    """images (N, H, W, C) -> (N, *image_shape) float32; images that already have this shape are only cast."""
    size, _, channels = preprocessing.image_shape
    height, width = tf.shape(images)[1], tf.shape(images)[2]

    def resized():
        longer, shorter = tf.maximum(height, width), tf.minimum(height, width)
        message = f"images: expected sides above 0, one at most {MAX_ASPECT} times the other"
        fits = tf.debugging.Assert((shorter > 0) & (longer <= MAX_ASPECT * shorter), [message])
        with tf.control_dependencies([fits]):
            stacked = tf.transpose(tf.cast(images, tf.float32), (1, 2, 0, 3))  # all have the same size
        prepared = transforms.prepare(tf.reshape(stacked, (height, width, -1)), preprocessing)
        return tf.transpose(tf.reshape(prepared, (size, size, -1, channels)), (2, 0, 1, 3))

    fits = (height == size) & (width == size)
    prepared = tf.cond(fits, lambda: tf.cast(images, tf.float32), resized)
    return tf.ensure_shape(prepared, (None, *preprocessing.image_shape))


def classification_signatures(
    network: Callable, description: Description, settings: Export, stages: bool = False
) -> dict[str, tuple[Callable, list]]:
    """Returns functions and input specs by name, with the default signature first.

    Args:
        network: preprocessed images (N, H, W, C) float32 in [0, 255] -> {"logits": (N, classes), "features": (N, F),
            "stage1": (N, h, w, c), ...}, float32.
        description: description with preprocessing and class names.
        settings: the group `export` of a configuration.
        stages: also export the outputs of the network's stages.

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
    """
    preprocessing, names = description.preprocessing, tf.constant(description.labels)
    top_k = settings.top_k or min(5, len(description.labels))
    texts = reasons(settings.max_image_bytes, settings.max_image_pixels)
    limits = settings.max_image_bytes, settings.max_image_pixels

    def prepare(pixels):
        return transforms.prepare(pixels, preprocessing)

    def answers(images):
        return network(prepare_batch(images, preprocessing))

    def serving_default(image_bytes):
        images, codes = decode_all(image_bytes, prepare, preprocessing.image_shape, *limits)
        status = tf.gather(tf.constant(texts), codes)
        if settings.on_invalid_image == "fail":
            with tf.control_dependencies([_all_readable(codes, status)]):
                images = tf.identity(images)
        scores, classes = tf.math.top_k(tf.nn.softmax(network(images)["logits"]), k=top_k)
        good = (codes == 0)[:, None]
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
        return {"logits": logits, "scores": tf.nn.softmax(logits)}

    def features(images):
        return {"features": answers(images)["features"]}

    def stage_outputs(images):
        return {name: value for name, value in answers(images).items() if name.startswith("stage")}

    def images_of(dtype):
        return [tf.TensorSpec([None, None, None, preprocessing.channels], dtype, name="images")]

    functions = {
        "serving_default": (serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")]),
        "predict_images": (predict_images, images_of(tf.float32)),
        "predict_images_uint8": (predict_images, images_of(tf.uint8)),
        "features": (features, images_of(tf.float32)),
        "network": (alone, [tf.TensorSpec([None, *preprocessing.image_shape], tf.float32, name="images")]),
    }
    return functions | ({"stages": (stage_outputs, images_of(tf.float32))} if stages else {})


def _all_readable(codes, status):
    """Asserts that all rows are readable; the error names the first unreadable row."""
    row = tf.argmax(tf.cast(codes != 0, tf.int32))
    readable = tf.reduce_all(codes == 0)
    said = tf.cond(readable, lambda: "", lambda: "row " + tf.strings.as_string(row) + " " + status[row])
    return tf.debugging.Assert(readable, ["image_bytes:", said])


class ExampleImages(Protocol):
    """A source of real images, preprocessed for a network, such as the data set of a `Classification`."""

    def example_images(self, count: int) -> np.ndarray:
        """Returns at most `count` images (N, H, W, C) float32 in [0, 255], on which artifacts are compared."""

    def calibration_images(self, count: int) -> np.ndarray:
        """Returns at most `count` other images, for the calibration of int8."""


class ClassifierExport:
    """A classifier in the form that `export_model` takes.

    Args:
        description: the network, its preprocessing and its class names.
        settings: the group `export` of a configuration.
        images: the images that artifacts are compared on.

    Raises:
        ConfigError: `settings.top_k` is greater than the number of classes.
    """

    def __init__(self, description: Description, settings: Export, images: ExampleImages):
        classes = len(description.labels)
        if settings.top_k and settings.top_k > classes:
            raise ConfigError(f"export.top_k: {settings.top_k} is more than the {classes} classes of the network")
        self.description, self.settings = description, settings
        self.example_images, self.calibration_images = images.example_images, images.calibration_images

    def signatures(self, network: Callable, stages: bool = False):
        """Returns the exported functions, see `classification_signatures`."""
        return classification_signatures(network, self.description, self.settings, stages)


class FolderImages:
    """Images in a folder and its subfolders.

    Args:
        folder: value of the flag `--images`.
        preprocessing: preprocessing of the images.

    Raises:
        ConfigError: the folder does not exist.
        DataError: the folder contains no images.
    """

    def __init__(self, folder: str, preprocessing: Preprocessing):
        self._files, self._preprocessing = _files_of(folder), preprocessing

    def example_images(self, count):
        """Returns every second image of the folder, at most `count`."""
        return self._prepared(self._files[::2], count)

    def calibration_images(self, count):
        """Returns the other images of the folder, at most `count`."""
        return self._prepared(self._files[1::2] or self._files, count)

    def _prepared(self, paths, count):
        images = []
        for path in paths[:count]:
            try:
                pixels = decode(tf.io.read_file(path), self._preprocessing.image_shape[2])
            except tf.errors.OpError:
                continue  # skips unreadable images
            images.append(transforms.prepare(pixels, self._preprocessing).numpy())
        if not images:
            raise DataError(f"--images: not one of {len(paths)} images can be decoded, {paths[0]} for one")
        return np.stack(images)


class Photographs:
    """Crops of scikit-learn's two photographs.

    Args:
        preprocessing: preprocessing of the crops.
        how: instruction for providing other images, for error messages.
    """

    def __init__(self, preprocessing: Preprocessing, how: str):
        self._preprocessing, self._how = preprocessing, how

    def example_images(self, count):
        """Returns at most 64 square crops, from a fixed seed."""
        channels, images = self._preprocessing.image_shape[2], []
        for square in cut_squares(min(count, 64)):
            if channels != 3:
                square = np.repeat(square.mean(2, keepdims=True), channels, 2)
            images.append(transforms.prepare(tf.constant(square), self._preprocessing).numpy())
        return np.stack(images)

    def calibration_images(self, count):
        """Raises an error, because two photographs are too few for the calibration of int8.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"--precision=int8: needs a hundred images or more to take ranges from: {self._how}")


def _files_of(folder):
    if not os.path.isdir(folder):
        raise ConfigError(f"--images={folder}: is no folder")
    names = sorted(glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True))
    paths = [name for name in names if name.lower().endswith(_ENDINGS)]
    if not paths:
        raise DataError(f"--images={folder}: holds no JPEG, PNG, GIF or BMP files")
    return paths
