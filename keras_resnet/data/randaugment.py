"""RandAugment (Cubuk et al. 2019) with the operations of tf-models-official.

Its own RandAugment draws from TensorFlow's global generator, whose numbers depend on how many threads run; here the
draws come from the sample's seed, and only the operations on pixels are its own.
"""

import functools

import tensorflow as tf

from keras_resnet.data.transforms import box_mask
from keras_resnet.errors import ConfigError

GREY = [128, 128, 128]  # fills what an operation leaves empty
MAX_MAGNITUDE = 10.0


def rand_augment(image, layers: int, magnitude: float, seed):
    """image (H, W, C) in [0, 255] -> the same after `layers` operations drawn at random, float32.

    Args:
        image: C is 1 or 3.
        layers: how many operations, one after the other.
        magnitude: their strength, 0 to 10.
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
    """{name: image (size, size, 3) uint8 -> the same}, with tf-models-official's strengths, scaled to the image's size.

    Raises:
        ConfigError: tf-models-official is not installed.
    """
    try:
        from official.vision.ops import augment
    except ImportError as error:
        raise ConfigError(
            f"data.randaugment_num_ops: needs tf-models-official ({error}); pip install tf-models-official"
        ) from None
    sign_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    level = magnitude / MAX_MAGNITUDE
    sign = tf.where(tf.random.stateless_uniform((), sign_seed) < 0.5, 1.0, -1.0)
    enhance, pixels = 1.8 * level + 0.1, size / 224 * 100 * level

    def cutout(image):
        half = int(size / 224 * 40 * level)
        center = tf.random.stateless_uniform((2,), place_seed, 0, size, tf.int32)
        box = tf.concat([center - half, tf.fill((2,), 2 * half)], 0)
        return tf.where(box_mask(size, size, box), tf.constant(GREY, tf.uint8), image)

    return {
        "AutoContrast": augment.autocontrast,
        "Equalize": augment.equalize,
        "Invert": augment.invert,
        "Rotate": lambda image: augment.wrapped_rotate(image, sign * 30 * level, GREY),
        "Posterize": lambda image: augment.posterize(image, int(4 * level)),
        "Solarize": lambda image: augment.solarize(image, int(256 * level)),
        "SolarizeAdd": lambda image: augment.solarize_add(image, int(110 * level)),
        "Color": lambda image: augment.color(image, enhance),
        "Contrast": lambda image: augment.contrast(image, enhance),
        "Brightness": lambda image: augment.brightness(image, enhance),
        "Sharpness": lambda image: augment.sharpness(image, enhance),
        "ShearX": lambda image: augment.shear_x(image, sign * 0.3 * level, GREY),
        "ShearY": lambda image: augment.shear_y(image, sign * 0.3 * level, GREY),
        "TranslateX": lambda image: augment.translate_x(image, sign * pixels, GREY),
        "TranslateY": lambda image: augment.translate_y(image, sign * pixels, GREY),
        "Cutout": cutout,
    }
