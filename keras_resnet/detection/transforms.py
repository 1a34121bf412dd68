"""Fits training images and their objects into a detector's square input: scale jitter, horizontal flip.

Objects are {"boxes": (R, 4) float32 pixels, "classes": (R,) int32, "ignored": (R,) bool, "areas": (R,) float32}. Those
with masks have "masks" (R, M, M) uint8 too, each in its box of "mask_boxes" (R, 4), which may reach out of the image.
"""

import tensorflow as tf

from keras_resnet.data.transforms import letterbox

LEAST_SIDE = 1.0  # of a box in pixels; an object with a smaller part in the image is left out


def augmented(image, objects, side: int, mean, scale_range: tuple[float, ...], horizontal_flip: bool, seed):
    """Returns (image (side, side, C) float32, objects) after scale jitter and a flip, functions of the seed (2,)."""
    draws = tf.random.stateless_uniform((4,), seed)
    low, high = scale_range
    scale = low + (high - low) * draws[0]
    pixels, ratio, start = letterbox(image, side, mean, scale, draws[1:3])
    whole = objects["boxes"] * ratio - tf.cast(tf.concat([start, start], 0), tf.float32)
    if horizontal_flip:
        flips = draws[3] < 0.5
        pixels = tf.cond(flips, lambda: tf.reverse(pixels, [1]), lambda: pixels)
        y1, x1, y2, x2 = tf.unstack(whole, axis=-1)
        whole = tf.where(flips, tf.stack([y1, side - x2, y2, side - x1], axis=-1), whole)
        if "masks" in objects:
            masks = objects["masks"]
            objects = objects | {"masks": tf.cond(flips, lambda: tf.reverse(masks, [2]), lambda: masks)}
    boxes = tf.clip_by_value(whole, 0.0, float(side))
    kept = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE, axis=-1)
    if "masks" in objects:
        objects = objects | {"mask_boxes": whole}
    objects = objects | {"boxes": boxes, "areas": objects["areas"] * ratio**2}
    return pixels, {name: tf.boolean_mask(value, kept) for name, value in objects.items()}


def padded(objects, count: int) -> dict:
    """Objects of any number R -> the first `count`, padded with zeros; "valid" (count,) bool is false in padding."""
    found = tf.shape(objects["classes"])[0]
    rows = {name: value[:count] for name, value in objects.items()}
    missing = tf.maximum(count - found, 0)

    def fill(value):
        filled = tf.pad(value, [[0, missing]] + [[0, 0]] * (len(value.shape) - 1))
        return tf.ensure_shape(filled, (count, *value.shape[1:]))

    return {name: fill(value) for name, value in rows.items()} | {"valid": tf.range(count) < found}
