"""Provides RandAugment (Cubuk et al. 2019) with the operations and strengths of tf-models-official.

The draws depend only on the sample's seed. tf-models-official draws from TensorFlow's global generator, whose numbers
depend on the number of threads.
"""

import functools

import tensorflow as tf

from keras_resnet.data import image_ops
from keras_resnet.data.transforms import box_mask

MAX_MAGNITUDE = 10.0


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
    choices = operations(image.shape[0], magnitude, how_seed)
    which = tf.random.stateless_uniform((), which_seed, 0, len(choices), tf.int32)
    branches = [functools.partial(operation, image) for operation in choices.values()]
    return tf.ensure_shape(tf.switch_case(which, branches), image.shape)


def operations(size: int, magnitude: float, seed) -> dict:
    """Returns {name: image (size, size, 3) uint8 -> image}, strengths as in tf-models-official, scaled to the size."""
    sign_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    level = magnitude / MAX_MAGNITUDE
    sign = tf.where(tf.random.stateless_uniform((), sign_seed) < 0.5, 1.0, -1.0)
    enhance, pixels = 1.8 * level + 0.1, size / 224 * 100 * level

    def cutout(image):
        half = int(size / 224 * 40 * level)
        center = tf.random.stateless_uniform((2,), place_seed, 0, size, tf.int32)
        box = tf.concat([center - half, tf.fill((2,), 2 * half)], 0)
        return tf.where(box_mask(size, size, box), tf.constant(128, tf.uint8), image)

    return {
        "AutoContrast": image_ops.autocontrast,
        "Equalize": image_ops.equalize,
        "Invert": image_ops.invert,
        "Rotate": lambda image: image_ops.rotate(image, sign * 30 * level),
        "Posterize": lambda image: image_ops.posterize(image, int(4 * level)),
        "Solarize": lambda image: image_ops.solarize(image, int(256 * level)),
        "SolarizeAdd": lambda image: image_ops.solarize_add(image, int(110 * level)),
        "Color": lambda image: image_ops.color(image, enhance),
        "Contrast": lambda image: tf.image.adjust_contrast(image, enhance),
        "Brightness": lambda image: image_ops.brightness(image, enhance),
        "Sharpness": lambda image: image_ops.sharpness(image, enhance),
        "ShearX": lambda image: image_ops.shear_x(image, sign * 0.3 * level),
        "ShearY": lambda image: image_ops.shear_y(image, sign * 0.3 * level),
        "TranslateX": lambda image: image_ops.translate(image, x=sign * pixels),
        "TranslateY": lambda image: image_ops.translate(image, y=sign * pixels),
        "Cutout": cutout,
    }
