"""Provides the image operations of RandAugment (Cubuk et al. 2019), as PIL and tf-models-official define them.

Each operation maps an RGB image (H, W, 3) uint8 to one of the same shape and type. `tests/data/test_augmentation.py`
compares them with tf-models-official's, value by value.
"""

import functools
import math

import tensorflow as tf

from keras_resnet.data.transforms import box_mask, random_place
from keras_resnet.description import ImageSize, height_and_width

RADIANS = math.pi / 180

MAX_MAGNITUDE = 10.0


def blend(first, second, factor: float):
    """Returns first + factor (second - first), clipped to [0, 255]: interpolation up to 1, extrapolation above."""
    first, second = tf.cast(first, tf.float32), tf.cast(second, tf.float32)
    return tf.cast(tf.clip_by_value(first + factor * (second - first), 0, 255), tf.uint8)


def color(image, factor: float):
    """Changes the saturation: factor 0 gives a gray image, 1 the original."""
    return blend(tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image)), image, factor)


def brightness(image, factor: float):
    """Changes the brightness: factor 0 gives a black image, 1 the original."""
    return blend(tf.zeros_like(image), image, factor)


def sharpness(image, factor: float):
    """Changes the sharpness: factor 0 smooths by a 3x3 kernel, 1 gives the original. The border is unchanged."""
    kernel = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], tf.float32)[:, :, None, None] / 13.0
    pixels = tf.cast(image, tf.float32)[None]
    smooth = tf.nn.depthwise_conv2d(pixels, tf.tile(kernel, (1, 1, 3, 1)), (1, 1, 1, 1), "VALID")[0]
    smooth = tf.cast(tf.clip_by_value(smooth, 0, 255), tf.uint8)
    around = ((1, 1), (1, 1), (0, 0))
    inside = tf.pad(tf.ones_like(smooth, tf.bool), around)
    return blend(tf.where(inside, tf.pad(smooth, around), image), image, factor)


def invert(image):
    """Returns 255 - image."""
    return 255 - image


def posterize(image, bits):
    """Keeps the `bits` highest bits of each value, a number or a tensor ()."""
    shift = tf.cast(8 - bits, tf.int32)
    return tf.cast(tf.bitwise.left_shift(tf.bitwise.right_shift(tf.cast(image, tf.int32), shift), shift), tf.uint8)


def solarize(image, threshold):
    """Inverts values of at least `threshold`; an `int` of 256 inverts all, as in tf-models-official."""
    values = image if isinstance(threshold, int) else tf.cast(image, tf.float32)
    return tf.where(values < threshold, image, 255 - image)


def solarize_add(image, addition):
    """Adds `addition` to values below 128, clipped to [0, 255]."""
    added = tf.cast(tf.clip_by_value(tf.cast(image, tf.int64) + tf.cast(addition, tf.int64), 0, 255), tf.uint8)
    return tf.where(image < 128, added, image)


def autocontrast(image):
    """Stretches each channel to [0, 255]; a channel with a single value is unchanged."""
    low, high = (tf.cast(reduce(image, (0, 1)), tf.float32) for reduce in (tf.reduce_min, tf.reduce_max))
    scale = 255.0 / (high - low)
    stretched = tf.clip_by_value(tf.cast(image, tf.float32) * scale - low * scale, 0, 255)
    return tf.where(high > low, tf.cast(stretched, tf.uint8), image)


def equalize(image):
    """Equalizes the histogram of each channel, as PIL's `ImageOps.equalize` does."""
    return tf.stack([_equalize_channel(channel) for channel in tf.unstack(image, axis=-1)], -1)


def _equalize_channel(channel):
    values = tf.cast(channel, tf.int32)
    counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
    last = counts[tf.reduce_max(values)]
    step = (tf.size(values) - last) // 255
    table = (tf.cumsum(counts, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.clip_by_value(tf.where(tf.range(256) > 0, table, 0), 0, 255)
    return tf.where(step > 0, tf.cast(tf.gather(table, values), tf.uint8), channel)


def rotate(image, degrees: float):
    """Rotates the image clockwise about its center, with reflection at the border."""
    angle = tf.cast(degrees * RADIANS, tf.float32)
    cos, sin = tf.cos(angle), tf.sin(angle)
    bottom, right = (tf.cast(side - 1, tf.float32) for side in image.shape[:2])
    x = (right - (cos * right - sin * bottom)) / 2.0
    y = (bottom - (sin * right + cos * bottom)) / 2.0
    return _transform(image, [cos, -sin, x, sin, cos, y])


def shear_x(image, level):
    """Shifts each row by `level` times its index, with reflection at the border."""
    return _transform(image, [1.0, level, 0.0, 0.0, 1.0, 0.0])


def shear_y(image, level):
    """Shifts each column by `level` times its index, with reflection at the border."""
    return _transform(image, [1.0, 0.0, 0.0, level, 1.0, 0.0])


def translate(image, x=0.0, y=0.0):
    """Shifts the image `x` pixels to the left and `y` pixels up, with reflection at the border."""
    return _transform(image, [1.0, 0.0, x, 0.0, 1.0, y])


def _transform(image, coefficients):
    """Maps output (x, y) to the nearest input pixel of (a0 x + a1 y + a2, b0 x + b1 y + b2)."""
    transform = tf.stack([tf.cast(each, tf.float32) for each in (*coefficients, 0.0, 0.0)])[None]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=transform,
        output_shape=image.shape[:2],
        fill_value=0.0,
        fill_mode="REFLECT",
        interpolation="NEAREST",
    )[0]


def rand_augment(image, layers: int, magnitude: float, seed):
    """image (H, W, C) in [0, 255] -> the same shape after `layers` random operations, float32.

    Args:
        image: C is 1 or 3.
        layers: number of operations, applied in sequence.
        magnitude: strength of the operations, 0 to 10.
        seed: (2,).
    """
    channels = image.shape[-1]
    image = tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
    image = tf.image.grayscale_to_rgb(image) if channels == 1 else image
    for layer_seed in tf.unstack(tf.random.split(seed, layers)):
        which_seed, how_seed = tf.unstack(tf.random.split(layer_seed, 2))
        image = _one_of(image, magnitude, which_seed, how_seed)
    return tf.cast(image, tf.float32)[..., :channels]


def _one_of(image, magnitude, which_seed, how_seed):
    choices = operations(image.shape[:2], magnitude, how_seed)
    which = tf.random.stateless_uniform((), which_seed, 0, len(choices), tf.int32)
    branches = [functools.partial(operation, image) for operation in choices.values()]
    return tf.ensure_shape(tf.switch_case(which, branches), image.shape)


def operations(size: ImageSize, magnitude: float, seed) -> dict:
    """Returns {name: image (h, w, 3) uint8 -> image}, strengths as in tf-models-official, scaled to the size (h, w)."""
    height, width = height_and_width(size)
    sign_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    level = magnitude / MAX_MAGNITUDE
    sign = tf.where(tf.random.stateless_uniform((), sign_seed) < 0.5, 1.0, -1.0)
    enhance = 1.8 * level + 0.1
    down, right = (sign * (side / 224 * 100 * level) for side in (height, width))

    def cutout(image):
        half = int(min(height, width) / 224 * 40 * level)
        box = tf.concat([random_place(height, width, place_seed) - half, tf.fill((2,), 2 * half)], 0)
        return tf.where(box_mask(height, width, box), tf.constant(128, tf.uint8), image)

    return {
        "AutoContrast": autocontrast,
        "Equalize": equalize,
        "Invert": invert,
        "Rotate": lambda image: rotate(image, sign * 30 * level),
        # TensorFlow's shift of a byte by 8 shifts by 7: in tf-models-official no bits are one bit.
        "Posterize": lambda image: posterize(image, max(1, int(4 * level))),
        "Solarize": lambda image: solarize(image, int(256 * level)),
        "SolarizeAdd": lambda image: solarize_add(image, int(110 * level)),
        "Color": lambda image: color(image, enhance),
        "Contrast": lambda image: tf.image.adjust_contrast(image, enhance),
        "Brightness": lambda image: brightness(image, enhance),
        "Sharpness": lambda image: sharpness(image, enhance),
        "ShearX": lambda image: shear_x(image, sign * 0.3 * level),
        "ShearY": lambda image: shear_y(image, sign * 0.3 * level),
        "TranslateX": lambda image: translate(image, x=right),
        "TranslateY": lambda image: translate(image, y=down),
        "Cutout": cutout,
    }
