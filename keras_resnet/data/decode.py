"""Stored images -> pixels, reading no more of a file than is needed.

A stored image is pixels (H, W, C) uint8, or the bytes () of a JPEG, PNG, BMP or GIF (its first picture).
"""

import functools
from collections.abc import Callable

import tensorflow as tf

_RATIOS = (1, 2, 4, 8)  # at which libjpeg decodes; it then computes a part of each block's frequencies


def decode(image, channels: int):
    """Stored image -> (H, W, channels) uint8. Grey, palette and CMYK files become RGB."""
    if image.dtype != tf.string:
        return image
    pixels = tf.io.decode_image(image, channels=channels, expand_animations=False)
    return tf.ensure_shape(pixels, (None, None, channels))


def decode_crop(image, choose_box: Callable, channels: int, least: int):
    """Stored image -> (h, w, channels) uint8, the part of it that is chosen from its size.

    Of a JPEG, only the rows and columns of that part are computed, and if it is at least twice, four or eight times as
    high and wide as needed, at a half, a quarter or an eighth of the image's size.

    Args:
        image: the stored image.
        choose_box: (height (), width ()) int32 -> (top, left, h, w) int32, inside the image.
        channels: 1 or 3.
        least: height and width in pixels that are needed; a JPEG's part may be made smaller down to that.
    """

    def crop_pixels(pixels):
        top, left, height, width = tf.unstack(choose_box(tf.shape(pixels)[0], tf.shape(pixels)[1]))
        return pixels[top : top + height, left : left + width]

    if image.dtype != tf.string:
        return crop_pixels(image)

    def crop_jpeg():
        height, width, _ = tf.unstack(tf.image.extract_jpeg_shape(image))
        box = choose_box(height, width)
        halvings = tf.reduce_sum(tf.cast(tf.reduce_min(box[2:]) >= least * tf.constant(_RATIOS[1:]), tf.int32))
        return tf.switch_case(halvings, [functools.partial(_crop_jpeg, image, box, channels, r) for r in _RATIOS])

    pixels = tf.cond(tf.io.is_jpeg(image), crop_jpeg, lambda: crop_pixels(decode(image, channels)))
    return tf.ensure_shape(pixels, (None, None, channels))


def _crop_jpeg(image, box, channels, ratio):
    return tf.image.decode_and_crop_jpeg(image, box // ratio, channels=channels, ratio=ratio)
