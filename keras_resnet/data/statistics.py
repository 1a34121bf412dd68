"""Computes the mean and the standard deviation of each channel over the training images of a data set."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.decode import decode
from keras_resnet.data.sources import open_image_set
from keras_resnet.data.threads import map_in_threads
from keras_resnet.errors import DataError


def channel_statistics(
    data: Data, track: Callable = lambda moments, total: moments
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns (mean (C,), std (C,), number of images) over all pixels of the readable training images.

    Images of different sizes count by their pixels. The moments of images are combined as in Chan et al. 1979, in
    double precision, in the order of the images, so the result depends on nothing else.

    Args:
        data: the configuration of the set.
        track: (iterable of results, their number) -> the same results; may show progress.

    Raises:
        DataError: no training image can be read.
    """
    images = open_image_set(data)
    split = images.split("train")

    def moments(index):
        try:
            with tf.device("CPU:0"):
                stored, _ = split.read(tf.constant(index, tf.int64))
                pixels = decode(stored, images.image_shape[2], data.exif_orientation).numpy()
        except tf.errors.OpError:
            return None
        values = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64)
        mean = values.mean(0)
        return len(values), mean, ((values - mean) ** 2).sum(0)

    count, number, mean, squares = 0, 0, np.zeros(images.image_shape[2]), np.zeros(images.image_shape[2])
    for found in track(map_in_threads(moments, range(split.size)), split.size):
        if found is None:
            continue
        more, other_mean, other_squares = found
        delta, total = other_mean - mean, count + more
        mean = mean + delta * (more / total)
        squares = squares + other_squares + delta**2 * (count * more / total)
        count, number = total, number + 1
    if not count:
        raise DataError(f"data.name: {data.name}: no training image can be read")
    return mean, np.sqrt(squares / count), number
