"""Provides splits of data sets that fit in memory."""

import numpy as np
import tensorflow as tf

from keras_resnet.data.image_set import Split


def split_of_arrays(images: np.ndarray, labels: np.ndarray, name: str) -> Split:
    """images (N, H, W, C) uint8, labels (N,) -> a split; messages use `name`."""
    labels = labels.astype(np.int32)
    with tf.device("CPU:0"):  # the graph captures the tensors and does not copy them
        all_images, all_labels = tf.constant(images), tf.constant(labels)

    def read(index):
        return tf.gather(all_images, index), tf.gather(all_labels, index)

    return Split(len(labels), read, lambda index: f"{name} image {index}", labels)
