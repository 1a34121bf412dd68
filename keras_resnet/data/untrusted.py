"""Decodes untrusted bytes to pixels or an error code, inside a TensorFlow graph; a bad image raises no error."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.data.decode import pixels_of
from keras_resnet.data.header import MAX_ASPECT
from keras_resnet.data.image_header import DECODE, OK, checked, reasons

__all__ = ["MAX_ASPECT", "decode_all", "reasons"]


def decode_all(contents, prepare: Callable, shape: tuple[int, int, int], max_bytes: int, max_pixels: int):
    """contents (N,) strings -> images (N, *shape) float32, zeros for bad images, and codes (N,) int32.

    TensorFlow's decoders raise errors, and only tf.data can continue after an error. Therefore rows are decoded as
    elements of a data set, in parallel, and the successful ones are scattered back to their places.

    Args:
        contents: bytes of image files.
        prepare: pixels (H, W, C) uint8 -> (*shape) float32.
        shape: (H, W, C) of what `prepare` returns.
        max_bytes, max_pixels: an image that has more is not decoded.
    """
    count = tf.size(contents)
    zeros = tf.zeros(shape)

    def row(index, content):
        code, kind, content, _ = checked(content, max_bytes, max_pixels)
        image = tf.cond(code == OK, lambda: prepare(pixels_of(content, kind, shape[2])), lambda: zeros)
        return index, code, image

    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
    rows = rows.map(row, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False).ignore_errors()
    rows = rows.concatenate(tf.data.Dataset.from_tensors((count, OK, zeros)))  # so that there is at least one
    places, codes, images = rows.batch(tf.cast(count, tf.int64) + 1).get_single_element()
    places = places[:, None]
    images = tf.scatter_nd(places, images, tf.stack([count + 1, *shape]))[:count]
    codes = tf.tensor_scatter_nd_update(tf.fill([count + 1], DECODE), places, codes)[:count]
    return tf.ensure_shape(images, (None, *shape)), codes
