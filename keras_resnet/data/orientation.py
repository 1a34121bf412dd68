"""Reads the EXIF orientation of a JPEG inside a TensorFlow graph, and turns images upright by it.

Orientations are EXIF's numbers from 1, upright, to 8. An image of orientation k becomes upright when rows and columns
are exchanged, for k > 4, and then the axes `_REVERSED[(k - 1) % 4]` are reversed.
"""

import functools

import tensorflow as tf

from keras_resnet.data.header import BYTE_ORDERS, EXIF, ORIENTATION, SHORT
from keras_resnet.data.image_header import jpeg_header

_REVERSED = ((), (1,), (0, 1), (0,))
_APP0, _APP1 = b"\xff\xe0\0\x10", b"\xff\xe1"  # a JFIF segment without a thumbnail; the first bytes of APP1
_ENTRY = 12  # bytes of an entry of a TIFF directory


def may_have_exif(content):
    """content () -> whether it contains "Exif" anywhere. This takes a fiftieth of the time of decoding."""
    without = tf.strings.regex_replace(content, EXIF[:4].decode(), "", replace_global=False)
    return tf.strings.length(without) < tf.strings.length(content)


def exif_orientation(content):
    """The bytes () of a JPEG -> its orientation () int32, 1 if it has no valid one (EXIF 2.3, section 4.6)."""
    tiff = _exif_data(content)
    head, length = tf.strings.substr(tiff, 0, 8) + bytes(8), tf.strings.length(tiff)
    little, big = (tf.strings.substr(head, 0, 4) == first for first in BYTE_ORDERS)

    def numbers(data, dtype):
        orders = (tf.io.decode_raw(data, dtype, little_endian=order) for order in (True, False))
        return tf.cast(tf.where(little, *orders), tf.int32)

    start = numbers(tf.strings.substr(head, 4, 4), tf.int32)[0]
    start = tf.where((start < 0) | (start > length - 2), length, start)  # from 2**31 on, it is negative here
    count = numbers(tf.strings.substr(tiff, start, 2) + bytes(2), tf.uint16)[0]
    first = tf.minimum(start + 2, length)
    count = tf.minimum(count, (length - first) // _ENTRY)
    rows = tf.reshape(numbers(tf.strings.substr(tiff, first, _ENTRY * count), tf.uint16), (-1, _ENTRY // 2))
    row = tf.boolean_mask(rows, rows[:, 0] == ORIENTATION)[:1]  # tag, type, number of values in two parts, value
    one = tf.where(little, (1, 0), (0, 1))
    valid = (little | big) & (row[:, 1] == SHORT) & tf.reduce_all(row[:, 2:4] == one, 1) & (row[:, 4] <= 8)
    return tf.maximum(tf.reduce_sum(tf.where(valid, row[:, 4], 0)), 1)


def _exif_data(content):
    """Returns the EXIF data of a JPEG, "" if it has none before its frame header."""
    head = tf.strings.substr(content, 0, 30) + bytes(30)

    def begins_at(at):
        return (tf.strings.substr(head, at, 2) == _APP1) & (tf.strings.substr(head, at + 4, len(EXIF)) == EXIF)

    second = (tf.strings.substr(head, 2, len(_APP0)) == _APP0) & begins_at(20)
    # Nearly always one of these; searching takes as long as decoding a small image.
    at = tf.cond(begins_at(2) | second, lambda: tf.where(second, 20, 2), lambda: jpeg_header(content)[2])
    size = tf.io.decode_raw(tf.strings.substr(content, at + 2, 2) + bytes(2), tf.uint16, little_endian=False)[0]
    begin = tf.minimum(at + 4 + len(EXIF), tf.strings.length(content))
    size = tf.maximum(at + 2 + tf.cast(size, tf.int32) - begin, 0)
    return tf.strings.substr(content, begin, tf.where(at > 0, size, 0))


def turned(pixels, orientation):
    """Stored pixels (H, W, C), orientation () -> the upright image (H, W, C) or (W, H, C)."""
    pixels = tf.cond(orientation > 4, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    return tf.switch_case((orientation - 1) % 4, [functools.partial(tf.reverse, pixels, axes) for axes in _REVERSED])


def upright(pixels, content):
    """Stored pixels (H, W, C) of a JPEG, its bytes () -> the upright image."""
    orientation = exif_orientation(content)
    return tf.cond(orientation > 1, lambda: turned(pixels, orientation), lambda: pixels)


def upright_size(height, width, orientation):
    """Returns height and width () of the upright image."""
    exchanged = orientation > 4
    return tf.where(exchanged, width, height), tf.where(exchanged, height, width)


def stored_box(box, size, orientation):
    """Returns the part (top, left, h, w) of the stored image that is the part `box` of the upright image.

    Args:
        box: (top, left, h, w) int32.
        size: height and width of the upright image.
        orientation: ().
    """
    height, width = size
    top, left, h, w = tf.unstack(box)
    rows, columns = (tf.gather([axis in each for each in _REVERSED], (orientation - 1) % 4) for axis in (0, 1))
    top, left = tf.where(rows, height - top - h, top), tf.where(columns, width - left - w, left)
    return tf.where(orientation > 4, tf.stack([left, top, w, h]), tf.stack([top, left, h, w]))
