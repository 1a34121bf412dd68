"""Provides classifiers to `export_model`, and the images that their artifacts are compared on."""

import glob
import os
from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_resnet.classification.signatures import classification_signatures
from keras_resnet.config import Export
from keras_resnet.data import transforms
from keras_resnet.data.decode import decode
from keras_resnet.description import Description, Preprocessing
from keras_resnet.errors import ConfigError, DataError

_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


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
        from sklearn.datasets import load_sample_images

        random, photographs = np.random.RandomState(0), load_sample_images().images
        channels, parts = self._preprocessing.image_shape[2], []
        for i in range(min(count, 64)):
            photograph = photographs[i % 2]
            side = random.randint(100, min(photograph.shape[:2]))
            top, left = (random.randint(0, size - side) for size in photograph.shape[:2])
            part = photograph[top : top + side, left : left + side]
            if channels != 3:
                part = np.repeat(part.mean(2, keepdims=True), channels, 2)
            parts.append(transforms.prepare(tf.constant(part), self._preprocessing).numpy())
        return np.stack(parts)

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
