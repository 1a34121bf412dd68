"""Fits images and their objects into a detector's square input: letterbox, scale jitter, horizontal flip.

Objects are {"boxes": (R, 4) float32 pixels, "classes": (R,) int32, "ignored": (R,) bool, "areas": (R,) float32}.
"""

import tensorflow as tf

_LEAST = 1.0  # side of a box in pixels below which its object is left out after a crop


def letterbox(image, side: int, mean, scale=1.0, offset=None):
    """image (H, W, C) -> (image (side, side, C) float32, its pixels per pixel of `image`, first row and column kept).

    The longer side becomes `side * scale` pixels. What the image does not fill has the mean color, which is zero after
    normalization; what it overfills is cut off.

    Args:
        image: pixels in [0, 255].
        side: height and width of the result.
        mean: a color, a number per channel.
        scale: 1 fills the longer side exactly.
        offset: (2,) in [0, 1]: the share of the cut-off rows and columns that is above and to the left. None: 0.
    """
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    ratio = side * scale / tf.reduce_max(size)
    resized = tf.maximum(tf.cast(tf.round(size * ratio), tf.int32), 1)
    pixels = tf.image.resize(tf.cast(image, tf.float32), resized, antialias=True)
    start = _start(resized, side, offset)
    pixels = pixels[start[0] : start[0] + side, start[1] : start[1] + side] - mean
    missing = side - tf.shape(pixels)[:2]
    pixels = tf.pad(pixels, [[0, missing[0]], [0, missing[1]], [0, 0]]) + mean
    return tf.ensure_shape(pixels, (side, side, len(mean))), ratio, start


def _start(resized, side, offset):
    """Returns the first row and column (2,) int32 that are kept of an image that is larger than `side`."""
    if offset is None:
        return tf.zeros((2,), tf.int32)
    over = tf.maximum(resized - side, 0)
    return tf.cast(tf.cast(over, tf.float32) * offset, tf.int32)


def augmented(image, objects, side: int, mean, scale_range: tuple[float, ...], horizontal_flip: bool, seed):
    """Returns (image (side, side, C) float32, objects) after scale jitter and a flip, functions of the seed (2,)."""
    draws = tf.random.stateless_uniform((4,), seed)
    low, high = scale_range
    scale = low + (high - low) * draws[0]
    pixels, ratio, start = letterbox(image, side, mean, scale, draws[1:3])
    boxes = objects["boxes"] * ratio - tf.cast(tf.concat([start, start], 0), tf.float32)
    boxes = tf.clip_by_value(boxes, 0.0, float(side))
    if horizontal_flip:
        flips = draws[3] < 0.5
        pixels = tf.cond(flips, lambda: pixels[:, ::-1], lambda: pixels)
        y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
        boxes = tf.where(flips, tf.stack([y1, side - x2, y2, side - x1], axis=-1), boxes)
    kept = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= _LEAST, axis=-1)
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
