"""Augments training images, in the order of the options of a configuration's `data` group."""

import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data import transforms
from keras_resnet.data.decode import decode
from keras_resnet.data.mixing import draw_mix
from keras_resnet.data.randaugment import rand_augment


def augment(image, size: int, channels: int, data: Data, seed):
    """Stored image -> (size, size, channels) float32, mostly in [0, 255]; a function of the image and the seed.

    Args:
        image: pixels (H, W, C) uint8, or the bytes () of a file.
        size: height and width of the network's input.
        channels: 1 or 3.
        data: selects the augmentations.
        seed: (2,) int64.
    """
    seeds = tf.unstack(tf.random.split(seed, 6))
    if data.crop == "scale_jitter":
        image = transforms.random_scale_crop(image, size, data.resize_range, seeds[0], channels)
    elif data.crop == "random_resized":
        image = transforms.random_resized_crop(image, size, data.area_range, seeds[0], channels)
    else:
        image = transforms.for_test(decode(image, channels), size)
    image = transforms.random_crop(image, data.random_crop_padding, seeds[1])
    if data.horizontal_flip:
        image = transforms.random_flip(image, seeds[2])
    if data.randaugment_num_ops:
        image = rand_augment(image, data.randaugment_num_ops, data.randaugment_magnitude, seeds[3])
    if data.pca_lighting and channels == 3:
        image = transforms.random_color(image, seeds[4])
    if data.random_erasing:
        image = transforms.random_erasing(image, data.random_erasing, seeds[5])
    return image


def mix_shares(size: int, data: Data, seed):
    """Draws a sample's shares for mixup and CutMix, see `draw_mix`; the seed differs from those of `augment`."""
    return draw_mix(size, data.mixup, data.cutmix, tf.random.fold_in(seed, 1))
