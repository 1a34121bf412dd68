"""Weights without a run: what a classifier of them answers, and images to compare its artifacts on."""

import glob
import os

import numpy as np
import tensorflow as tf

from keras_resnet.classification.signatures import Protocol, classification_signatures
from keras_resnet.config import Export
from keras_resnet.data.decode import decode
from keras_resnet.description import Preparation
from keras_resnet.errors import ConfigError, DataError

_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


class PretrainedClassifier:
    """What `export_model` needs to know of a classifier that no run of this package made.

    Args:
        labels: a name for each class.
        image_shape: (H, W, C) that the network takes.
        preparation: how images are made ready for the weights.
        settings: the group `export` of a configuration.
        images: a folder of images like those to come; None for parts of scikit-learn's two photographs.

    Raises:
        ConfigError: `settings.top_k` is more than there are classes.
        DataError: the folder holds no images.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        image_shape: tuple[int, int, int],
        preparation: Preparation,
        settings: Export,
        images: str | None = None,
    ):
        if settings.top_k and settings.top_k > len(labels):
            raise ConfigError(f"export.top_k: {settings.top_k} is more than the {len(labels)} classes of the weights")
        self.labels, self.image_shape, self.settings = labels, image_shape, settings
        self._protocol = Protocol(
            image_shape=image_shape,
            crop_fraction=preparation.crop_fraction,
            interpolation=preparation.interpolation,
        )
        self._files = _files_of(images) if images else None

    def signatures(self, network, stages=False):
        """The exported functions, see `classification_signatures`."""
        return classification_signatures(
            network, labels=self.labels, protocol=self._protocol, settings=self.settings, stages=stages
        )

    def example_images(self, count):
        """Images of the folder, from its first on; without one, parts of photographs."""
        return self._prepared(self._files[::2], count) if self._files else self._photographs(min(count, 64))

    def calibration_images(self, count):
        """The other images of the folder.

        Raises:
            ConfigError: there is no folder: two photographs are too few to choose ranges by.
        """
        if not self._files:
            raise ConfigError("--precision=int8: needs a hundred images or more to choose ranges by: --images=FOLDER")
        return self._prepared(self._files[1::2] or self._files, count)

    def _prepared(self, paths, count):
        images = []
        for path in paths[:count]:
            try:
                pixels = decode(tf.io.read_file(path), self.image_shape[2])
            except tf.errors.OpError:
                continue  # others are as good
            images.append(self._protocol.prepare(pixels).numpy())
        if not images:
            raise DataError(f"--images: not one of {len(paths)} images can be decoded, {paths[0]} for one")
        return np.stack(images)

    def _photographs(self, count):
        from sklearn.datasets import load_sample_images

        random, photographs = np.random.RandomState(0), load_sample_images().images
        channels, parts = self.image_shape[2], []
        for i in range(count):
            photograph = photographs[i % 2]
            side = random.randint(100, min(photograph.shape[:2]))
            top, left = (random.randint(0, size - side) for size in photograph.shape[:2])
            part = photograph[top : top + side, left : left + side]
            if channels != 3:
                part = np.repeat(part.mean(2, keepdims=True), channels, 2)
            parts.append(self._protocol.prepare(tf.constant(part)).numpy())
        return np.stack(parts)


def _files_of(folder):
    if not os.path.isdir(folder):
        raise ConfigError(f"--images={folder}: is no folder")
    names = sorted(glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True))
    paths = [name for name in names if name.lower().endswith(_ENDINGS)]
    if not paths:
        raise DataError(f"--images={folder}: holds no JPEG, PNG, GIF or BMP files")
    return paths
