"""Generates synthetic images for smoke runs and benchmarks: a network can learn them, but they have no meaning."""

import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.image_set import ImageSet, Split

SIZES = {"train": 1280, "validation": 256, "test": 256}
CLASSES, SIDE = 1000, 224  # ImageNet's


def load_synthetic(data: Data) -> ImageSet:
    """Returns square RGB images of `image_size` pixels: one color per class, plus noise."""
    classes, side = data.classes or CLASSES, data.image_size or SIDE
    first, splits = 0, {}
    for name, size in SIZES.items():
        splits[name] = Split(size, _reader(first, classes, side), lambda index: f"synthetic image {index}")
        first += size
    return ImageSet("synthetic", tuple(f"class {i}" for i in range(classes)), (side, side, 3), splits)


def _reader(first, classes, side):
    def read(index):
        label = tf.cast(index % classes, tf.int32)
        color = tf.random.stateless_uniform((3,), (0, label), 0, 192, tf.int32)
        noise = tf.random.stateless_uniform((side, side, 3), tf.stack([1, index + first]), 0, 64, tf.int32)
        return tf.cast(color + noise, tf.uint8), label

    return read
