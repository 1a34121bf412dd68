"""Provides TrivialAugment, AutoAugment, AugMix and timm's RandAugment: which operations change an image, and how much.

A policy maps an RGB image (H, W, 3) uint8 to one of the same shape and type, as a function of a seed (2,). Strengths
are tensors, drawn for each image. Operations are those of `randaugment.py`; geometric ones fill what they uncover with
one color.
"""

import functools

import tensorflow as tf

from keras_resnet.data.policy_tables import CIFAR10, IMAGENET
from keras_resnet.data.randaugment import (
    RADIANS,
    autocontrast,
    blend,
    brightness,
    color,
    equalize,
    invert,
    posterize,
    sharpness,
    solarize,
    solarize_add,
)
from keras_resnet.description import ImageSize, height_and_width

BLACK, GRAY, MEAN = (0.0,) * 3, (128.0,) * 3, (124.0, 116.0, 104.0)  # MEAN is ImageNet's mean color


def apply_policy(policy, image, seed):
    """image (H, W, C) in [0, 255] -> the same shape after a policy, float32; C is 1 or 3."""
    channels = image.shape[-1]
    image = tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)
    image = tf.image.grayscale_to_rgb(image) if channels == 1 else image
    return tf.cast(policy(image, seed), tf.float32)[..., :channels]


def warp(image, coefficients, fill):
    """Maps output (x, y) to input (a0 x + a1 y + a2, b0 x + b1 y + b2), bilinearly; `fill` is the color outside."""
    transform = tf.stack([tf.cast(each, tf.float32) for each in (*coefficients, 0.0, 0.0)])[None]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None] - fill,
        transforms=transform,
        output_shape=image.shape[:2],
        fill_value=0.0,
        fill_mode="CONSTANT",
        interpolation="BILINEAR",
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(moved + fill), 0, 255), tf.uint8)


def rotate(image, degrees, fill):
    """Rotates the image about its center."""
    angle = tf.cast(degrees * RADIANS, tf.float32)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
    return warp(image, [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y], fill)


def contrast(image, factor):
    """Changes the contrast: factor 0 gives the mean gray value of the image, 1 the original."""
    gray = tf.reduce_mean(tf.cast(tf.image.rgb_to_grayscale(image), tf.float32))
    return blend(tf.fill(tf.shape(image), tf.floor(gray + 0.5)), image, factor)


def operations(*, shear, down, right, degrees, factor, bits, threshold, fill, addition=0.0) -> dict:
    """Returns {name: image -> image} of given strengths, numbers or tensors ().

    Args:
        shear: shift of a row or column in pixels, per row or column from the image's edge, as PIL counts them.
        down, right: shifts of "TranslateY" and "TranslateX" in pixels; an image moves up and left by positive ones.
        degrees: of the rotation.
        factor: of color, contrast, brightness and sharpness; 1 changes nothing.
        bits: of each value that are kept.
        threshold: values of at least it are inverted.
        fill: color outside of the image, three numbers.
        addition: to values below 128.
    """
    return {
        "Identity": tf.identity,
        "AutoContrast": autocontrast,
        "Equalize": equalize,
        "Invert": invert,
        "Rotate": lambda image: rotate(image, degrees, fill),
        "Posterize": lambda image: posterize(image, bits),
        "Solarize": lambda image: solarize(image, threshold),
        "SolarizeAdd": lambda image: solarize_add(image, addition),
        "Color": lambda image: color(image, factor),
        "Contrast": lambda image: contrast(image, factor),
        "Brightness": lambda image: brightness(image, factor),
        "Sharpness": lambda image: sharpness(image, factor),
        "ShearX": lambda image: warp(image, [1.0, shear, shear / 2, 0.0, 1.0, 0.0], fill),
        "ShearY": lambda image: warp(image, [1.0, 0.0, 0.0, shear, 1.0, shear / 2], fill),
        "TranslateX": lambda image: warp(image, [1.0, 0.0, right, 0.0, 1.0, 0.0], fill),
        "TranslateY": lambda image: warp(image, [1.0, 0.0, 0.0, 0.0, 1.0, down], fill),
    }


def _names(*left_out):
    """Returns the names of `operations` but some, in order."""
    every = operations(shear=0, down=0, right=0, degrees=0, factor=1, bits=8, threshold=256, fill=BLACK)
    return tuple(name for name in every if name not in left_out)


TRIVIAL = _names("Invert", "SolarizeAdd")
AUGMIX = _names("Identity", "Invert", "SolarizeAdd", "Color", "Contrast", "Brightness", "Sharpness")
TIMM = _names("Identity")


def one_of(image, choices: dict, names, seed):
    """Applies one of the named choices, each with the same probability."""
    return _switch(image, choices, names, tf.random.stateless_uniform((), seed, 0, len(names), tf.int32))


def _switch(image, choices, names, which):
    changed = tf.switch_case(which, [functools.partial(choices[name], image) for name in names])
    return tf.ensure_shape(changed, image.shape)


def _sign(seed):
    return tf.where(tf.random.stateless_uniform((), seed) < 0.5, 1.0, -1.0)


def trivial_augment_wide(image, seed):
    """One operation of a random strength, one of 31 (Müller and Hutter 2021, table 2, "wide")."""
    which, how, direction = tf.unstack(tf.random.split(seed, 3))
    strength = tf.cast(tf.random.stateless_uniform((), how, 0, 31, tf.int32), tf.float32) / 30
    return one_of(image, trivial_operations(strength, _sign(direction)), TRIVIAL, which)


def trivial_operations(strength, sign) -> dict:
    """Returns the operations of TrivialAugment at a strength in [0, 1] and a sign, -1 or 1."""
    return operations(
        shear=sign * 0.99 * strength,
        down=sign * tf.floor(32 * strength),
        right=sign * tf.floor(32 * strength),
        degrees=sign * 135 * strength,
        factor=1 + sign * 0.99 * strength,
        bits=8 - tf.round(6 * strength),
        threshold=255 * (1 - strength),
        fill=BLACK,
    )


def levels(size: ImageSize, level, sign, fill=GRAY, translate=150 / 331) -> dict:
    """Returns the operations of AutoAugment at a level in [0, 10] of the authors' code, and a sign, -1 or 1.

    Args:
        size: height and width (h, w) of the image, one number if they are equal.
        level: strength of the operations.
        sign: of geometric operations.
        fill: color outside of the image.
        translate: greatest shift as a share of the size.
    """
    share, (height, width) = level / 10, height_and_width(size)
    return operations(
        shear=sign * 0.3 * share,
        down=sign * tf.floor(translate * height * share),
        right=sign * tf.floor(translate * width * share),
        degrees=sign * tf.floor(30 * share),
        factor=0.1 + 1.8 * share,
        bits=4 - tf.floor(4 * share),
        threshold=256 - tf.floor(256 * share),
        fill=fill,
    )


def auto_augment(table, image, seed):
    """Two operations of one of the sub-policies of a table, each with its probability and level (Cubuk et al. 2018)."""
    which, chance, direction = tf.unstack(tf.random.split(seed, 3))
    row = tf.random.stateless_uniform((), which, 0, len(table), tf.int32)
    chances, signs = tf.unstack(tf.random.stateless_uniform((2,), chance)), tf.unstack(tf.random.split(direction, 2))
    for i, (drawn, sign) in enumerate(zip(chances, signs, strict=True)):
        names, probabilities, strengths = zip(*(pair[i] for pair in table), strict=True)
        choices = levels(image.shape[:2], tf.constant(strengths, tf.float32)[row], _sign(sign))
        used = sorted(set(names))
        apply = functools.partial(_switch, image, choices, used, tf.constant([used.index(each) for each in names])[row])
        image = tf.cond(drawn < tf.constant(probabilities)[row], apply, lambda image=image: image)
    return image


def augmix(image, seed):
    """A mixture of the image and of three chains of one to three weak operations (Hendrycks et al. 2020, severity 3).

    The weights of the chains have a flat Dirichlet distribution, that of the image a uniform one: both alphas are 1.
    """
    weight_seed, mix_seed, *chain_seeds = tf.unstack(tf.random.split(seed, 5))
    weights = -tf.math.log(tf.random.stateless_uniform((3,), weight_seed, 1e-7, 1.0))
    mixture = tf.zeros(image.shape)
    for weight, chain_seed in zip(tf.unstack(weights / tf.reduce_sum(weights)), chain_seeds, strict=True):
        seeds = tf.random.split(chain_seed, 4)
        depth = tf.random.stateless_uniform((), seeds[3], 1, 4, tf.int32)
        step = lambda i, chain, seeds=seeds: (i + 1, _augmix_step(chain, seeds[i]))  # noqa: E731
        _, chain = tf.while_loop(lambda i, _, depth=depth: i < depth, step, (0, image))
        mixture += weight * tf.cast(chain, tf.float32)
    share = tf.random.stateless_uniform((), mix_seed)
    mixed = share * tf.cast(image, tf.float32) + (1 - share) * mixture
    return tf.cast(tf.clip_by_value(tf.round(mixed), 0, 255), tf.uint8)


def _augmix_step(image, seed):
    which, how, direction = tf.unstack(tf.random.split(seed, 3))
    level = tf.random.stateless_uniform((), how, 0.1, 3.0)
    choices = levels(image.shape[:2], level, _sign(direction), fill=BLACK, translate=1 / 3)
    return one_of(image, choices, AUGMIX, which)


def timm_operations(size: ImageSize, magnitude, sign) -> dict:
    """Returns timm's operations of increasing strength at a magnitude in [0, 10] and a sign, -1 or 1."""
    share, (height, width) = magnitude / 10, height_and_width(size)
    return operations(
        shear=sign * 0.3 * share,
        down=sign * 0.45 * height * share,
        right=sign * 0.45 * width * share,
        degrees=sign * 30 * share,
        factor=tf.maximum(1 + sign * 0.9 * share, 0.1),
        bits=4 - tf.floor(4 * share),
        threshold=256 - tf.floor(256 * share),
        addition=tf.minimum(tf.floor(110 * share), 128),
        fill=MEAN,
    )


def timm_rand_augment(num_ops: int, magnitude: float, std: float, image, seed):
    """image (H, W, 3) uint8 -> the same after timm's RandAugment: `rand-m{magnitude}-n{num_ops}-mstd{std}-inc1`.

    Each operation is applied with probability 0.5, at a magnitude with Gaussian noise, limited to [0, 10].
    """
    for each in tf.unstack(tf.random.split(seed, num_ops)):
        chance, which, how, direction = tf.unstack(tf.random.split(each, 4))
        drawn = tf.clip_by_value(magnitude + std * tf.random.stateless_normal((), how), 0.0, 10.0)
        choices = timm_operations(image.shape[:2], drawn, _sign(direction))
        skipped = tf.random.stateless_uniform((), chance) >= 0.5
        image = tf.cond(skipped, lambda image=image: image, functools.partial(one_of, image, choices, TIMM, which))
    return image


POLICIES = {
    "trivial_augment_wide": trivial_augment_wide,
    "autoaugment_imagenet": functools.partial(auto_augment, IMAGENET),
    "autoaugment_cifar10": functools.partial(auto_augment, CIFAR10),
    "augmix": augmix,
}
