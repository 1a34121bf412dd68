"""Augments training images in the order of the configuration's `data` options, and mixes neighbors in a batch."""

import functools

import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data import transforms
from keras_resnet.data.decode import decode
from keras_resnet.data.policies import POLICIES, apply_policy, timm_rand_augment
from keras_resnet.data.randaugment import rand_augment
from keras_resnet.data.transforms import box_mask, random_place
from keras_resnet.description import ImageSize, height_and_width


def draw_mix(size: ImageSize, mixup: float, cutmix: float, seed):
    """Draws the share that a sample keeps: (h, w, 1) float32 in [0, 1]; its neighbor supplies the rest.

    Args:
        size: height and width (h, w) of the images, one number if they are equal.
        mixup, cutmix: alpha of the Beta distribution of the share; 0 disables the method. If both are set,
            one of them is drawn, each with probability 0.5.
        seed: (2,).
    """
    which_seed, mixup_seed, cutmix_seed, place_seed = tf.unstack(tf.random.split(seed, 4))
    height, width = height_and_width(size)
    blended = tf.fill((height, width, 1), _beta(mixup or 1.0, mixup_seed))
    share = tf.sqrt(1 - _beta(cutmix or 1.0, cutmix_seed))
    extent = tf.cast(tf.round((height, width) * share), tf.int32)
    box = tf.concat([random_place(height, width, place_seed) - extent // 2, extent], 0)
    cut = 1.0 - tf.cast(box_mask(height, width, box), tf.float32)
    chance = {(True, True): 0.5, (True, False): 1.0, (False, True): 0.0}[bool(mixup), bool(cutmix)]
    return tf.where(tf.random.stateless_uniform((), which_seed) < chance, blended, cut)


def mix_pairs(images, targets, weights, shares, by_sample: bool = False):
    """Mixes samples 2i and 2i + 1, both by the share of sample 2i.

    Args:
        images: (N, H, W, C) float32, N even.
        targets: (N, classes) float32.
        weights: (N,) float32, 0 for an unreadable image, whose pair is not mixed.
        shares: (N, H, W, 1), see `draw_mix`.
        by_sample: each keeps its own share instead.

    Returns:
        Images and targets, of the same shapes.
    """

    def pairs(x):
        return tf.reshape(x, tf.concat([[-1, 2], tf.shape(x)[1:]], 0))

    share = pairs(shares) if by_sample else pairs(shares)[:, :1]
    both_read = tf.reduce_min(pairs(weights), 1)[:, None, None, None, None] > 0
    share = tf.where(both_read, share, 1.0)
    of_targets = tf.reduce_mean(share, (2, 3))
    mixed = _swapped(pairs(images), share), _swapped(pairs(targets), of_targets)
    return tuple(
        tf.ensure_shape(tf.reshape(new, tf.shape(old)), old.shape)
        for new, old in zip(mixed, (images, targets), strict=True)
    )


def _swapped(pairs, share):
    return share * pairs + (1 - share) * tf.reverse(pairs, [1])


def _beta(alpha, seed):
    """Draws a number from Beta(alpha, alpha)."""
    one, other = tf.unstack(tf.random.stateless_gamma((2,), seed, alpha))
    return one / tf.maximum(one + other, 1e-20)


def augment(image, size: ImageSize, channels: int, data: Data, seed, mean=None):
    """Stored image -> (h, w, channels) float32, mostly in [0, 255]; a function of the image and the seed.

    Args:
        image: pixels (H, W, C) uint8, or the bytes () of a file.
        size: height and width (h, w) of the network's input, one number if they are equal.
        channels: 1 or 3.
        data: selects the augmentations.
        seed: (2,) int64.
        mean: color for `random_erasing_fill: mean`, a number per channel.
    """
    seeds = tf.unstack(tf.random.split(seed, 6))
    if data.crop == "scale_jitter":
        image = transforms.random_scale_crop(image, size, data.resize_range, seeds[0], channels, data.exif_orientation)
    elif data.crop == "random_resized":
        image = transforms.random_resized_crop(image, size, data.area_range, seeds[0], channels, data.exif_orientation)
    else:
        image = transforms.for_test(decode(image, channels, data.exif_orientation), size)
    image = transforms.random_crop(image, data.random_crop_padding, seeds[1])
    if data.horizontal_flip:
        image = transforms.random_flip(image, seeds[2])
    if data.randaugment_num_ops:
        image = _rand_augment(image, data, seeds[3])
    if data.auto_augment:
        image = apply_policy(POLICIES[data.auto_augment], image, seeds[3])
    if data.pca_lighting and channels == 3:
        image = transforms.random_color(image, seeds[4])
    if data.random_erasing:
        color = mean if data.random_erasing_fill == "mean" else None
        image = transforms.random_erasing(image, data.random_erasing, seeds[5], color)
    return image


def _rand_augment(image, data, seed):
    num_ops, magnitude = data.randaugment_num_ops, data.randaugment_magnitude
    if data.randaugment_operations == "tf_models":
        return rand_augment(image, num_ops, magnitude, seed)
    policy = functools.partial(timm_rand_augment, num_ops, magnitude, data.randaugment_magnitude_std)
    return apply_policy(policy, image, seed)


def mix_shares(size: ImageSize, data: Data, seed, batch_size: int):
    """Draws a sample's shares for mixup and CutMix, see `draw_mix`; the seed differs from those of `augment`.

    With `mixing: batch`, the samples of a batch, whose positions are the seed's second number, have the same shares.
    """
    if data.mixing == "batch":
        seed = tf.stack([seed[0], seed[1] // batch_size])
    return draw_mix(size, data.mixup, data.cutmix, tf.random.fold_in(seed, 1))
