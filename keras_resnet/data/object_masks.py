"""Cuts the masks of objects out of their images, inside a graph."""

import tensorflow as tf

from keras_resnet.data.run_lengths import BITS, FIRST, MORE, SIGN

SIDE = 56  # twice that of a predicted mask; a mask is of the pixels that contain these points


def crop_masks(masks, boxes, size):
    """masks (R,) string, boxes (R, 4), y1 x1 y2 x2 in pixels, size (2,) of their image -> (R, SIDE, SIDE) uint8.

    The value is 1 where the pixel at the center of a cell belongs to the object. The masks are run lengths of whole
    images, as `keras_resnet.data.run_lengths.encode` writes them; a mask without bytes is 0 everywhere.
    """
    height, width = tf.unstack(tf.cast(size, tf.int32))
    fractions = (tf.range(SIDE, dtype=tf.float32) + 0.5) / SIDE

    def crop(mask_and_box):
        mask, (y1, x1, y2, x2) = mask_and_box[0], tf.unstack(mask_and_box[1])
        y = tf.clip_by_value(tf.cast(tf.floor(y1 + fractions * (y2 - y1)), tf.int32), 0, height - 1)
        x = tf.clip_by_value(tf.cast(tf.floor(x1 + fractions * (x2 - x1)), tf.int32), 0, width - 1)
        ends = tf.cumsum(tf.cond(tf.strings.length(mask) > 0, lambda: _runs(mask), lambda: tf.constant([], tf.int64)))
        place = tf.cast(x[None] * height + y[:, None], tf.int64)  # columns first
        run = tf.searchsorted(ends, tf.reshape(place, [-1]), side="right")
        return tf.cast(tf.reshape(run % 2, (SIDE, SIDE)), tf.uint8)

    return tf.map_fn(crop, (masks, boxes), fn_output_signature=tf.TensorSpec((SIDE, SIDE), tf.uint8))


def _runs(content):
    """content () string -> runs (R,) int64, as `keras_resnet.data.run_lengths.decompress`."""
    codes = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.int64) - FIRST
    last = tf.bitwise.bitwise_and(codes, MORE) == 0
    number = tf.cumsum(tf.cast(last, tf.int64), exclusive=True)
    firsts = tf.where(tf.concat([[True], last[:-1]], 0))[:, 0]
    place = tf.range(tf.size(codes, tf.int64)) - tf.gather(firsts, number)
    numbers = tf.math.segment_sum(tf.bitwise.left_shift(tf.bitwise.bitwise_and(codes, BITS), 5 * place), number)
    ends, lengths = tf.boolean_mask(codes, last), tf.boolean_mask(place, last) + 1
    negative = tf.bitwise.bitwise_and(ends, SIGN) > 0
    numbers -= tf.where(negative, tf.bitwise.left_shift(tf.ones_like(lengths), 5 * lengths), 0)
    # From the fourth on, a number is the difference from that two before.
    even, odd = tf.concat([numbers[:1], tf.cumsum(numbers[2::2])], 0), tf.cumsum(numbers[1::2])
    count = tf.size(numbers)
    return tf.dynamic_stitch([tf.range(0, count, 2), tf.range(1, count, 2)], [even, odd])
