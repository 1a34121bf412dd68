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


def union_of_masks(masks, size):
    """masks (R,) string, size (2,) of their image -> (H, W) bool, true where one of the objects is."""
    height, width = tf.unstack(tf.cast(size, tf.int32))

    def with_edges_of(edges, mask):
        """Adds 1 where a run of the object begins and -1 behind its end."""
        ends = tf.cumsum(_runs(mask))
        return tf.tensor_scatter_nd_add(edges, ends[:, None], 1 - 2 * (tf.range(tf.size(ends)) % 2))

    edges = tf.foldl(with_edges_of, masks, tf.zeros([height * width + 1], tf.int32))  # the last run ends there
    return tf.transpose(tf.reshape(tf.cumsum(edges[:-1]) > 0, [width, height]))  # columns first


def required_masks(masks, count, size):
    """Masks (R,) string of `count` objects, size (2,) of their image -> the masks; fails if they do not fit."""
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))

    def fits(mask):
        def of_size():
            runs = _runs(mask)
            return (tf.reduce_sum(runs) == pixels) & tf.reduce_all(runs >= 0)

        codes = tf.strings.regex_full_match(mask, "[0-o]*[0-O]")  # those of `_runs`; the last one ends a number
        return tf.cond(codes, of_size, lambda: tf.constant(False))

    fitting = tf.map_fn(fits, masks, fn_output_signature=tf.TensorSpec((), tf.bool))
    first = tf.argmin(tf.concat([tf.cast(fitting, tf.int32), [0]], 0))
    found, expected, first = map(tf.strings.as_string, (tf.size(masks), count, first))
    number = tf.strings.join(["has ", found, " masks of ", expected, " objects"])
    damaged = tf.strings.join(["the mask of its object ", first, " is damaged, or not of the size of the image"])
    checks = [tf.debugging.Assert(tf.size(masks) == count, [number])]
    checks.append(tf.debugging.Assert(tf.reduce_all(fitting), [damaged]))
    with tf.control_dependencies(checks):
        return tf.identity(masks)


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
