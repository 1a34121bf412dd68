"""Decodes inside a graph, by Python of this process, what TensorFlow does not read. Exports cannot contain it."""

import numpy as np
import tensorflow as tf

from keras_resnet.data.arrays import read_array
from keras_resnet.data.decoders import require, to_channels
from keras_resnet.data.pillow_formats import decode_pillow_format, pillow_format
from keras_resnet.errors import DataError


def decode_array(image, channels: int):
    """The bytes () of a file of `keras_resnet.data.arrays` -> (H, W, channels) float32."""
    values, problem = tf.numpy_function(_with_numpy, [image, channels], (tf.float32, tf.string))
    require(tf.strings.length(problem) == 0, lambda: problem)
    return tf.ensure_shape(values, (None, None, channels))


def decode_by_pillow(image, channels: int, otherwise: str):
    """The bytes () of a file of `pillow_formats` -> (H, W, channels) uint8; fails with `otherwise` for any other."""
    rgb, problem = tf.numpy_function(_with_pillow, [image, otherwise], (tf.uint8, tf.string))
    require(tf.strings.length(problem) == 0, lambda: problem)
    return to_channels(rgb, channels)


def _with_numpy(content, channels):
    """Returns (values (H, W, channels), b"") or (no values, what is wrong)."""
    content = content if isinstance(content, bytes) else content.item()  # in a graph, or in eager mode
    try:
        return read_array(content, int(channels)), b""
    except DataError as error:
        return np.zeros((0, 0, channels), np.float32), str(error).encode()


def _with_pillow(content, otherwise):
    """Returns (pixels (H, W, 3), b"") or (no pixels, what is wrong): TensorFlow would wrap an exception in a page."""
    none = np.zeros((0, 0, 3), np.uint8)
    if pillow_format(content) is None:
        return none, otherwise
    try:
        return decode_pillow_format(content), b""
    except DataError as error:
        return none, str(error).encode()
