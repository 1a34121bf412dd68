"""Provides real images that exports are compared on: of a folder, or crops of two photographs."""

import glob
import os
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_resnet.data import transforms
from keras_resnet.data.arrays import FORMATS, is_array
from keras_resnet.data.decode import decode
from keras_resnet.data.folder_tree import IMAGE_SUFFIXES, is_image
from keras_resnet.data.photographs import cut_squares
from keras_resnet.description import Preprocessing
from keras_resnet.errors import ConfigError, DataError


class ExampleImages(Protocol):
    """A source of real images, preprocessed for a network, such as the data set of a `Task`."""

    def example_images(self, count: int) -> np.ndarray:
        """Returns at most `count` images (N, H, W, C) float32 in [0, 255], on which artifacts are compared."""

    def calibration_images(self, count: int) -> np.ndarray:
        """Returns at most `count` other images, for the calibration of int8."""


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
        self._files, self._preprocessing = _files_of(folder, preprocessing.channels or 3), preprocessing

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
                channels, exif = self._preprocessing.image_shape[2], self._preprocessing.exif_orientation
                pixels = decode(tf.io.read_file(path), channels, exif)
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


def _files_of(folder, channels):
    if not os.path.isdir(folder):
        raise ConfigError(f"--images={folder}: is no folder")
    names = sorted(glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True))
    accepts, formats = (is_array, FORMATS) if channels > 3 else (is_image, IMAGE_SUFFIXES)
    paths = [name for name in names if accepts(name)]
    if not paths:
        raise DataError(f"--images={folder}: holds no images ({formats})")
    return paths
