"""Compares the size that an annotation states with that of the upright image: boxes are in pixels of the latter."""

import tensorflow as tf

from keras_resnet.data.decode import image_size

_PROBLEM = (
    "is {} x {} pixels (height x width), but its annotation states {} x {}; expected the same, because boxes are in "
    "pixels of the upright image"
)


def size_problem(stated: tuple[float, float], real: tuple[int, int]) -> str | None:
    """Compares (height, width) of an annotation, 0 if it states none, and of the upright image.

    Returns:
        What is wrong, None if they are equal.
    """
    if not any(stated) or tuple(stated) == tuple(real):
        return None
    return _PROBLEM.format(*real, *(f"{side:.0f}" for side in stated))


def require_stated_size(content, stated) -> None:
    """Fails inside a graph if an image does not have its stated size; `size_problem` is its eager counterpart.

    Only JPEG and PNG are compared, see `image_size`.

    Args:
        content: the bytes () of the image.
        stated: (2,) float64, height and width of the annotation, 0 if it states none.
    """

    def check():
        stated_sides = tf.cast(tf.round(stated), tf.int32)
        real = image_size(content, stated_sides)

        def fail():
            sides = tf.unstack(tf.concat([real, stated_sides], 0), num=4)
            tf.debugging.Assert(False, [tf.strings.format(_PROBLEM, sides)])
            return True

        return tf.cond(tf.reduce_all(tf.cast(real, tf.float64) == stated), lambda: True, fail)

    tf.cond(tf.reduce_any(stated != 0), check, lambda: True)
