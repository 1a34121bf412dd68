"""From an image as stored to an image as the network sees it. Random only by the seeds given."""

import tensorflow as tf


def for_test(image, size, crop_fraction=1.0):
    """image (H, W, C) -> (size, size, C) float32 in [0, 255]: resized, then cropped from the centre.

    The shorter side becomes size / crop_fraction pixels (224 / 0.875 = 256 in the papers' single-crop test).
    Training's validation and the exported model both go through here. An image of the right size is kept
    as it is.
    """
    image = tf.cast(image, tf.float32)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    shorter = tf.cast(tf.round(size / crop_fraction), tf.float32)
    scaled = tf.cast(tf.round(shape * (shorter / tf.reduce_min(shape))), tf.int32)
    image = tf.image.resize(image, scaled, antialias=True)
    top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
    return tf.ensure_shape(image[top : top + size, left : left + size], (size, size, image.shape[-1]))


def random_crop(image, padding, seed):
    """image (H, W, C) -> (H, W, C): `padding` zeros on every side, then a random crop (He et al. 2015, 4.2)."""
    if not padding:
        return image
    padded = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
    return tf.image.stateless_random_crop(padded, tf.shape(image), seed)


def random_flip(image, seed):
    """image (H, W, C) -> (H, W, C), mirrored left to right in half of the cases."""
    return tf.image.stateless_random_flip_left_right(image, seed)
