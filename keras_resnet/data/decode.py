"""Stored images -> pixels, reading no more of a file than is needed.

A stored image is pixels (H, W, C) uint8, or the bytes () of a JPEG, PNG, BMP or GIF (its first picture).
"""

from collections.abc import Callable

import tensorflow as tf


def decode(image, channels: int):
    """Stored image -> (H, W, channels) uint8. Grey, palette and CMYK files become RGB."""
    if image.dtype != tf.string:
        return image
    pixels = tf.io.decode_image(image, channels=channels, expand_animations=False)
    return tf.ensure_shape(pixels, (None, None, channels))


def decode_crop(image, choose_box: Callable, channels: int):
    """Stored image -> (h, w, channels) uint8, the part of it that is chosen from its size.

    Of a JPEG, only the rows and columns of that part are computed.

    Args:
        image: the stored image.
        choose_box: (height (), width ()) int32 -> (top, left, h, w) int32, inside the image.
        channels: 1 or 3.
    """

    def crop_pixels(pixels):
        top, left, height, width = tf.unstack(choose_box(tf.shape(pixels)[0], tf.shape(pixels)[1]))
        return pixels[top : top + height, left : left + width]

    if image.dtype != tf.string:
        return crop_pixels(image)

    def crop_jpeg():
        height, width, _ = tf.unstack(tf.image.extract_jpeg_shape(image))
        return tf.image.decode_and_crop_jpeg(image, choose_box(height, width), channels=channels)

    pixels = tf.cond(tf.io.is_jpeg(image), crop_jpeg, lambda: crop_pixels(decode(image, channels)))
    return tf.ensure_shape(pixels, (None, None, channels))
