"""Provides data sets without files: handwritten digits that ship with scikit-learn, and synthetic images."""

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.image_set import ImageSet, Split, split_of_arrays
from keras_resnet.description import height_and_width

TRAIN, VALIDATION = 0.7, 0.1  # shares of each class; the rest is the test split

SIZES = {"train": 1280, "validation": 256, "test": 256}
CLASSES, SIDE = 1000, 224  # ImageNet's


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """labels (N,) -> indices of each split, a fixed 70/10/20 split of every class.

    Uses NumPy's frozen `RandomState`, whose numbers never change between versions.
    """
    random = np.random.RandomState(0)
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in np.unique(labels):
        indices = random.permutation(np.flatnonzero(labels == label))
        cuts = [round(len(indices) * TRAIN), round(len(indices) * (TRAIN + VALIDATION))]
        for part, chosen in zip(parts.values(), np.split(indices, cuts), strict=True):
            part.append(chosen)
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}


def load_digits(data: Data) -> ImageSet:
    """Returns the digits as images (8, 8, 1) uint8 in [0, 255]; the original 17 gray levels are spaced evenly."""
    from sklearn.datasets import load_digits as load

    bunch = load()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int32)
    splits = {
        name: split_of_arrays(images[indices], labels[indices], f"digits {name}")
        for name, indices in split_indices(labels).items()
    }
    return ImageSet("digits", tuple(str(digit) for digit in range(10)), (8, 8, 1), splits)


def load_synthetic(data: Data) -> ImageSet:
    """Returns RGB images of `image_size` pixels: one color per class, plus noise."""
    classes, sides = data.classes or CLASSES, height_and_width(data.image_size or SIDE)
    first, splits = 0, {}
    for name, size in SIZES.items():
        splits[name] = Split(size, _reader(first, classes, sides), lambda index: f"synthetic image {index}")
        first += size
    return ImageSet("synthetic", tuple(f"class {i}" for i in range(classes)), (*sides, 3), splits)


def _reader(first, classes, sides):
    def read(index):
        label = tf.cast(index % classes, tf.int32)
        color = tf.random.stateless_uniform((3,), (0, label), 0, 192, tf.int32)
        noise = tf.random.stateless_uniform((*sides, 3), tf.stack([1, index + first]), 0, 64, tf.int32)
        return tf.cast(color + noise, tf.uint8), label

    return read
