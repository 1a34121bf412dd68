"""Decodes stored images to pixels and reads no more of a file than it needs.

A stored image is pixels (H, W, C) uint8, or the bytes () of a JPEG, PNG, BMP, WebP or GIF (its first frame), or of a
format that `pillow_formats` decodes in this process.
The EXIF orientation of a JPEG is applied, unless `exif` is "ignore": pixels and sizes are those of the upright image.
"""

import contextlib
import functools
from collections.abc import Callable

import tensorflow as tf

from keras_resnet.data.decoders import EXACT, decoded_jpeg, decoded_png, of_channels, pixels_of, require, separate
from keras_resnet.data.header import MAX_ASPECT, MAX_PIXELS, SIGNATURES
from keras_resnet.data.image_header import ASPECT, FORMAT, OK, PIXELS, checked, reasons
from keras_resnet.data.orientation import exif_orientation, may_have_exif, stored_box, turned, upright_size
from keras_resnet.data.python_decoders import decode_array, decode_by_pillow
from keras_resnet.description import ExifOrientation, ImageSize, height_and_width

_MAX_BYTES = 2**31 - 1
COLORS = 3  # channels of an image in color; images of more are arrays
_RATIOS = (1, 2, 4, 8)  # downscaling by libjpeg, which then computes only a part of each block's frequencies


def decode(image, channels: int, exif: ExifOrientation = "apply"):
    """Stored image -> (H, W, channels) uint8. Gray, palette and CMYK files become RGB; transparency is dropped.

    More than three channels are read by `keras_resnet.data.arrays`, as float32.

    Fails with the reason if `checked` refuses the file. Exports refuse the same files.
    """
    if image.dtype != tf.string:
        return image
    if channels > COLORS:
        return decode_array(image, channels)
    if tf.executing_eagerly():  # a graph takes a tenth of the time
        with contextlib.suppress(tf.errors.OpError):  # the eager error below says more about the cause
            return _compiled(channels, exif)(image)
    return _decode(image, channels, exif)


def image_size(image, stated=(0, 0)):
    """The bytes () of an image -> height and width (2,) int32 of the upright image.

    Formats other than JPEG and PNG are of `stated` size.

    Reading the headers of the other formats in every graph would take a second. Fails if they have no stated size.
    """

    def other():
        size = tf.cond(_is_png(image), lambda: _png_size(image), lambda: tf.stack(stated))
        known = tf.reduce_all(size > 0)
        require(known, lambda: "is neither a JPEG nor a PNG, and its record has no image/height and image/width")
        return size

    def jpeg():
        height, width, _ = tf.unstack(tf.image.extract_jpeg_shape(image))
        return tf.stack(upright_size(height, width, _orientation(image)))

    return tf.cond(tf.io.is_jpeg(image), jpeg, other)


def _is_png(image):
    return tf.strings.substr(image, 0, len(SIGNATURES["PNG"])) == SIGNATURES["PNG"]


def _png_size(image):
    """Returns height and width (2,) int32 of a PNG's header, 0 if it is cut off."""
    head = tf.strings.substr(image, 0, 24) + b"\0" * 24
    return tf.io.decode_raw(tf.strings.substr(head, 16, 8), tf.int32, little_endian=False)[::-1]


@functools.cache
def _compiled(channels, exif):
    return tf.function(
        lambda image: _decode(image, channels, exif), input_signature=[tf.TensorSpec((), tf.string)], autograph=False
    )


def _decode(image, channels, exif):
    """Decodes in a graph. A few operations read the headers of JPEG and PNG; `checked` reads those of rare formats."""

    def jpeg():
        _check_size(*tf.unstack(tf.image.extract_jpeg_shape(image))[:2])
        return decoded_jpeg(image, channels, exif)

    other = functools.partial(_decode_other, image, channels)
    pixels = tf.cond(tf.io.is_jpeg(image), jpeg, other)
    return tf.ensure_shape(pixels, (None, None, channels))


@separate
def _decode_other(image, channels):
    def png():
        height, width = tf.unstack(_png_size(image), num=2)
        _check_size(height, width)
        return decoded_png(image, channels)

    return tf.cond(_is_png(image), png, functools.partial(_decode_rare, image, channels))


@separate
def _decode_rare(image, channels):
    code, kind, content, size = checked(image, _MAX_BYTES, MAX_PIXELS)

    def tensorflow():
        require(code == OK, lambda: _refusal(code, size))
        return pixels_of(content, kind, channels)

    def pillow():
        return decode_by_pillow(image, channels, reasons(_MAX_BYTES, MAX_PIXELS)[FORMAT])

    return tf.cond(code == FORMAT, pillow, tensorflow)


def _orientation(jpeg):
    return tf.cond(may_have_exif(jpeg), lambda: _exif_orientation(jpeg), lambda: 1)


_exif_orientation = separate(exif_orientation)


def _check_size(height, width):
    """Fails for the sizes that `checked` refuses."""
    size = tf.cast(tf.stack([height, width]), tf.int64)
    pixels, longer, shorter = tf.reduce_prod(size), tf.reduce_max(size), tf.reduce_min(size)
    fits = (pixels <= MAX_PIXELS) & (longer <= MAX_ASPECT * shorter)
    require(fits, lambda: _refusal(tf.where(pixels > MAX_PIXELS, PIXELS, ASPECT), size))


@separate
def _refusal(code, size):
    """Returns the message for a code of `checked`, with the size if it is known."""
    what = tf.gather(tf.constant(reasons(_MAX_BYTES, MAX_PIXELS)), code)
    height, width = tf.unstack(tf.strings.as_string(size))
    return tf.where(size[0] > 0, tf.strings.join([what, " (", height, " x ", width, " pixels)"]), what)


def decode_crop(image, choose_box: Callable, channels: int, least: ImageSize, exif: ExifOrientation = "apply"):
    """Stored image -> (h, w, channels) uint8, the part that `choose_box` selects by the image's size.

    For a JPEG, only the rows and columns of that part are computed. If the part is at least two, four or eight times as
    high and wide as needed, it is decoded at a half, a quarter or an eighth of the image's size.

    Args:
        image: the stored image.
        choose_box: (height (), width ()) int32 of the upright image -> (top, left, h, w) int32, inside the image.
        channels: 1 or 3.
        least: needed height and width in pixels; the part of a JPEG may be downscaled to no less.
    """

    def crop_pixels(pixels):
        top, left, height, width = tf.unstack(choose_box(tf.shape(pixels)[0], tf.shape(pixels)[1]))
        return pixels[top : top + height, left : left + width]

    if image.dtype != tf.string:
        return crop_pixels(image)

    needed = tf.constant(height_and_width(least))

    def crop_jpeg():
        height, width, components = tf.unstack(tf.image.extract_jpeg_shape(image))
        _check_size(height, width)

        def part(box, least):
            large = tf.reduce_all(box[2:] >= tf.constant(_RATIOS[1:])[:, None] * least, 1)
            halvings = tf.reduce_sum(tf.cast(large, tf.int32))
            crops = [functools.partial(_crop_jpeg, image, components, box, channels, ratio) for ratio in _RATIOS]
            return tf.switch_case(halvings, crops)

        @separate
        def turned_part():
            orientation = exif_orientation(image)
            size = upright_size(height, width, orientation)
            lying = tf.reverse(needed, [0])
            stored = part(stored_box(choose_box(*size), size, orientation), tf.where(orientation > 4, lying, needed))
            return turned(stored, orientation)

        def stored_part():
            return part(choose_box(height, width), needed)

        return stored_part() if exif == "ignore" else tf.cond(may_have_exif(image), turned_part, stored_part)

    if channels > COLORS:
        return crop_pixels(decode(image, channels))
    pixels = tf.cond(tf.io.is_jpeg(image), crop_jpeg, lambda: crop_pixels(decode(image, channels, exif)))
    return tf.ensure_shape(pixels, (None, None, channels))


def _crop_jpeg(image, components, box, channels, ratio):
    decoder = functools.partial(tf.image.decode_and_crop_jpeg, image, box // ratio, ratio=ratio, dct_method=EXACT)
    return of_channels(decoder, components, channels)
