"""TensorFlow's decoders of each format, which exported graphs contain. They decode what `checked` accepts."""

import functools
from collections.abc import Callable

import tensorflow as tf

from keras_resnet.data.orientation import may_have_exif, upright
from keras_resnet.description import ExifOrientation

# libjpeg's exact inverse cosine transform, which Pillow, torchvision and timm use. TensorFlow's default, the fast
# transform, is off by up to 6 of 255 on photographs of quality 90 and is no faster.
EXACT = "INTEGER_ACCURATE"


def separate(function):
    """Makes a separate graph function: otherwise, operations of branches not taken cost 0.5 ms per image."""
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


upright_separately = separate(upright)


def pixels_of(content, kind, channels: int, exif: ExifOrientation = "apply"):
    """Content that `checked` accepts, and its kind -> (H, W, channels) uint8."""

    def jpeg():
        return decoded_jpeg(content, channels, exif)

    def png():
        return decoded_png(content, channels)

    def gif():
        return to_channels(_decoded(content, 3), channels)

    def bmp():
        pixels = tf.io.decode_bmp(content)
        rgb = tf.cond(tf.shape(pixels)[2] == 1, lambda: tf.tile(pixels, (1, 1, 3)), lambda: pixels[:, :, :3])
        return to_channels(rgb, channels)

    def webp():  # with channels=3, the decoder refuses a file with transparency
        pixels = tf.io.decode_image(content, expand_animations=False)
        return to_channels(tf.ensure_shape(pixels, (None, None, None))[:, :, :3], channels)

    pixels = tf.switch_case(kind, [jpeg, png, gif, bmp, webp])
    return tf.ensure_shape(pixels, (None, None, channels))


def _decoded(content, channels):
    return tf.ensure_shape(
        tf.io.decode_image(content, channels=channels, expand_animations=False), (None, None, channels)
    )


def decoded_jpeg(content, channels: int, exif: ExifOrientation):
    """The bytes () of a JPEG -> (H, W, channels) uint8."""

    def stored():
        decoder = functools.partial(tf.io.decode_jpeg, content, dct_method=EXACT)
        return of_channels(decoder, tf.image.extract_jpeg_shape(content)[2], channels)

    if exif == "ignore":
        return stored()
    return tf.cond(may_have_exif(content), lambda: upright_separately(stored(), content), stored)


def of_channels(decoder: Callable, components, channels: int):
    """Calls a decoder of JPEG, which converts CMYK, files of four components, to RGB but not to gray."""
    if channels == 3:
        return decoder(channels=3)
    cmyk = functools.partial(decoder, channels=3)
    return tf.cond(components == 4, lambda: to_channels(cmyk(), channels), lambda: decoder(channels=channels))


def to_channels(rgb, channels: int):
    """rgb (H, W, 3) uint8 -> (H, W, channels)."""
    rgb = tf.ensure_shape(rgb, (None, None, 3))
    return tf.image.rgb_to_grayscale(rgb) if channels == 1 else rgb


def decoded_png(content, channels: int):
    """Decodes a PNG; refuses 16-bit images that use only the lowest 12 bits: a camera's would be near black."""
    pixels = _decoded(content, channels)

    def greatest():
        return tf.reduce_max(tf.cast(tf.io.decode_image(content, dtype=tf.uint16, expand_animations=False), tf.int32))

    def check():
        value = tf.cond(tf.reduce_max(pixels) < 16, greatest, lambda: 0)
        what = ["has 16 bits a value, but uses only 0 to ", tf.strings.as_string(value)]
        what += [" of 65535, and would be near black: multiply its values, as by 16 for a camera of 12 bits"]
        return require(value == 0, lambda: tf.strings.join(what))

    sixteen = tf.strings.substr(content + b"\0" * 25, 24, 1) == b"\x10"  # PNG specification, section 11.2.1
    tf.cond(sixteen, check, lambda: True)
    return pixels


def require(holds, message):
    """Calls `tf.debugging.Assert` and builds the message only on failure. For use inside a function or a branch."""

    def fail():
        tf.debugging.Assert(False, [message()])
        return True

    return tf.cond(holds, lambda: True, fail)
