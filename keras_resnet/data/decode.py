"""Decodes stored images to pixels and reads no more of a file than it needs.

A stored image is pixels (H, W, C) uint8, or the bytes () of a JPEG, PNG, BMP, WebP or GIF (its first frame), or of a
format that `pillow_formats` decodes in this process.
The EXIF orientation of a JPEG is applied, unless `exif` is "ignore": pixels and sizes are those of the upright image.
"""

import contextlib
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_resnet.data.arrays import read_array
from keras_resnet.data.header import MAX_ASPECT, MAX_PIXELS, SIGNATURES
from keras_resnet.data.image_header import ASPECT, FORMAT, OK, PIXELS, checked, reasons
from keras_resnet.data.orientation import exif_orientation, may_have_exif, stored_box, turned, upright, upright_size
from keras_resnet.data.pillow_formats import decode_pillow_format, pillow_format
from keras_resnet.description import ExifOrientation, ImageSize, height_and_width
from keras_resnet.errors import DataError

_MAX_BYTES = 2**31 - 1
COLORS = 3  # channels of an image in color; images of more are arrays
# libjpeg's exact inverse cosine transform, which Pillow, torchvision and timm use. TensorFlow's default, the fast
# transform, is off by up to 6 of 255 on photographs of quality 90 and is no faster.
_EXACT = "INTEGER_ACCURATE"
_RATIOS = (1, 2, 4, 8)  # downscaling by libjpeg, which then computes only a part of each block's frequencies


def _separate(function):
    """Makes a separate graph function: otherwise, operations of branches not taken cost 0.5 ms per image."""
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def decode(image, channels: int, exif: ExifOrientation = "apply"):
    """Stored image -> (H, W, channels) uint8. Gray, palette and CMYK files become RGB; transparency is dropped.

    More than three channels are read by `keras_resnet.data.arrays`, as float32.

    Fails with the reason if `checked` refuses the file. Exports refuse the same files.
    """
    if image.dtype != tf.string:
        return image
    if channels > COLORS:
        return _decode_array(image, channels)
    if tf.executing_eagerly():  # a graph takes a tenth of the time
        with contextlib.suppress(tf.errors.OpError):  # the eager error below says more about the cause
            return _compiled(channels, exif)(image)
    return _decode(image, channels, exif)


def _decode_array(image, channels):
    values, problem = tf.numpy_function(_with_numpy, [image, channels], (tf.float32, tf.string))
    _assert(tf.strings.length(problem) == 0, lambda: problem)
    return tf.ensure_shape(values, (None, None, channels))


def _with_numpy(content, channels):
    """Returns (values (H, W, channels), b"") or (no values, what is wrong)."""
    content = content if isinstance(content, bytes) else content.item()  # in a graph, or in eager mode
    try:
        return read_array(content, int(channels)), b""
    except DataError as error:
        return np.zeros((0, 0, channels), np.float32), str(error).encode()


def image_size(image, stated=(0, 0)):
    """The bytes () of an image -> height and width (2,) int32 of the upright image.

    Formats other than JPEG and PNG are of `stated` size.

    Reading the headers of the other formats in every graph would take a second. Fails if they have no stated size.
    """

    def other():
        size = tf.cond(_is_png(image), lambda: _png_size(image), lambda: tf.stack(stated))
        known = tf.reduce_all(size > 0)
        _assert(known, lambda: "is neither a JPEG nor a PNG, and its record has no image/height and image/width")
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
        return _decoded_jpeg(image, channels, exif)

    other = functools.partial(_decode_other, image, channels)
    pixels = tf.cond(tf.io.is_jpeg(image), jpeg, other)
    return tf.ensure_shape(pixels, (None, None, channels))


@_separate
def _decode_other(image, channels):
    def png():
        height, width = tf.unstack(_png_size(image), num=2)
        _check_size(height, width)
        return _decoded_png(image, channels)

    return tf.cond(_is_png(image), png, functools.partial(_decode_rare, image, channels))


@_separate
def _decode_rare(image, channels):
    code, kind, content, size = checked(image, _MAX_BYTES, MAX_PIXELS)

    def tensorflow():
        _assert(code == OK, lambda: _refusal(code, size))
        return pixels_of(content, kind, channels)

    def pillow():
        rgb, problem = tf.numpy_function(_with_pillow, [image], (tf.uint8, tf.string))
        _assert(tf.strings.length(problem) == 0, lambda: problem)
        return _to_channels(rgb, channels)

    return tf.cond(code == FORMAT, pillow, tensorflow)


def _with_pillow(content):
    """Returns (pixels (H, W, 3), b"") or (no pixels, what is wrong): TensorFlow would wrap an exception in a page."""
    none = np.zeros((0, 0, 3), np.uint8)
    if pillow_format(content) is None:
        return none, reasons(_MAX_BYTES, MAX_PIXELS)[FORMAT].encode()
    try:
        return decode_pillow_format(content), b""
    except DataError as error:
        return none, str(error).encode()


def pixels_of(content, kind, channels: int, exif: ExifOrientation = "apply"):
    """Content that `checked` accepts, and its kind -> (H, W, channels) uint8."""

    def jpeg():
        return _decoded_jpeg(content, channels, exif)

    def png():
        return _decoded_png(content, channels)

    def gif():
        return _to_channels(_decoded(content, 3), channels)

    def bmp():
        pixels = tf.io.decode_bmp(content)
        rgb = tf.cond(tf.shape(pixels)[2] == 1, lambda: tf.tile(pixels, (1, 1, 3)), lambda: pixels[:, :, :3])
        return _to_channels(rgb, channels)

    def webp():  # with channels=3, the decoder refuses a file with transparency
        pixels = tf.io.decode_image(content, expand_animations=False)
        return _to_channels(tf.ensure_shape(pixels, (None, None, None))[:, :, :3], channels)

    pixels = tf.switch_case(kind, [jpeg, png, gif, bmp, webp])
    return tf.ensure_shape(pixels, (None, None, channels))


def _decoded(content, channels):
    return tf.ensure_shape(
        tf.io.decode_image(content, channels=channels, expand_animations=False), (None, None, channels)
    )


def _decoded_jpeg(content, channels, exif):
    def stored():
        decoder = functools.partial(tf.io.decode_jpeg, content, dct_method=_EXACT)
        return _of_channels(decoder, tf.image.extract_jpeg_shape(content)[2], channels)

    if exif == "ignore":
        return stored()
    return tf.cond(may_have_exif(content), lambda: _upright(stored(), content), stored)


def _of_channels(decoder, components, channels):
    """Calls a decoder of JPEG, which converts CMYK, files of four components, to RGB but not to gray."""
    if channels == 3:
        return decoder(channels=3)
    cmyk = functools.partial(decoder, channels=3)
    return tf.cond(components == 4, lambda: _to_channels(cmyk(), channels), lambda: decoder(channels=channels))


def _orientation(jpeg):
    return tf.cond(may_have_exif(jpeg), lambda: _exif_orientation(jpeg), lambda: 1)


_upright, _exif_orientation, _turned = map(_separate, (upright, exif_orientation, turned))


def _to_channels(rgb, channels):
    rgb = tf.ensure_shape(rgb, (None, None, 3))
    return tf.image.rgb_to_grayscale(rgb) if channels == 1 else rgb


def _decoded_png(content, channels):
    """Decodes a PNG; refuses 16-bit images that use only the lowest 12 bits: a camera's would be near black."""
    pixels = _decoded(content, channels)

    def greatest():
        return tf.reduce_max(tf.cast(tf.io.decode_image(content, dtype=tf.uint16, expand_animations=False), tf.int32))

    def check():
        value = tf.cond(tf.reduce_max(pixels) < 16, greatest, lambda: 0)
        what = ["has 16 bits a value, but uses only 0 to ", tf.strings.as_string(value)]
        what += [" of 65535, and would be near black: multiply its values, as by 16 for a camera of 12 bits"]
        return _assert(value == 0, lambda: tf.strings.join(what))

    sixteen = tf.strings.substr(content + b"\0" * 25, 24, 1) == b"\x10"  # PNG specification, section 11.2.1
    tf.cond(sixteen, check, lambda: True)
    return pixels


def _check_size(height, width):
    """Fails for the sizes that `checked` refuses."""
    size = tf.cast(tf.stack([height, width]), tf.int64)
    pixels, longer, shorter = tf.reduce_prod(size), tf.reduce_max(size), tf.reduce_min(size)
    fits = (pixels <= MAX_PIXELS) & (longer <= MAX_ASPECT * shorter)
    _assert(fits, lambda: _refusal(tf.where(pixels > MAX_PIXELS, PIXELS, ASPECT), size))


@_separate
def _refusal(code, size):
    """Returns the message for a code of `checked`, with the size if it is known."""
    what = tf.gather(tf.constant(reasons(_MAX_BYTES, MAX_PIXELS)), code)
    height, width = tf.unstack(tf.strings.as_string(size))
    return tf.where(size[0] > 0, tf.strings.join([what, " (", height, " x ", width, " pixels)"]), what)


def _assert(holds, message):
    """Calls `tf.debugging.Assert` and builds the message only on failure. For use inside a function or a branch."""

    def fail():
        tf.debugging.Assert(False, [message()])
        return True

    return tf.cond(holds, lambda: True, fail)


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

        @_separate
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
    decoder = functools.partial(tf.image.decode_and_crop_jpeg, image, box // ratio, ratio=ratio, dct_method=_EXACT)
    return _of_channels(decoder, components, channels)
