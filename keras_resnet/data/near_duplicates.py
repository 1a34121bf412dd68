"""Finds images that look alike in two splits: the same photograph resized, compressed again or slightly changed."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

BITS = 128
MAX_DISTANCE = 8  # differing bits of 128; those of two photographs differ in about 64
_LEAST_SIDE = 48  # pixels: too many smaller images look alike by chance
_ROWS = 1024  # hashes that are compared at once
_BITS_OF_TEXTURE = 16  # a hash with fewer bits set, or unset, is that of an image without structure


def difference_hash(image) -> np.ndarray | None:
    """image (H, W, C) -> the signs of the differences between neighbors of its 9 x 9 means, (2,) uint64.

    Returns:
        The hash; None for images below 48 pixels and for those with almost no structure.
    """
    if min(image.shape[:2]) < _LEAST_SIDE:
        return None
    pixels = tf.cast(image, tf.float32)
    gray = tf.image.rgb_to_grayscale(pixels) if image.shape[-1] == 3 else tf.reduce_mean(pixels, -1, keepdims=True)
    means = tf.image.resize(gray, (9, 9), method="area").numpy()[..., 0]
    if image.shape[-1] > 3:  # in units of their own, such as reflectances from 0 to 1
        least = 1e-4 * float(np.abs(means).max())  # differences below it are rounding
        means = (means - means.min()) * (255 / max(float(np.ptp(means)), 255 * least, 1e-30))
    # More than rounding: neighbors in a plain area are equal, whatever the compression.
    right, below = means[:8, 1:] - means[:8, :-1] > 1, means[1:, :8] - means[:-1, :8] > 1
    bits = np.concatenate([right.ravel(), below.ravel()])
    if not _BITS_OF_TEXTURE <= bits.sum() <= BITS - _BITS_OF_TEXTURE:
        return None
    return np.packbits(bits).view(np.uint64)


def near_duplicates(
    first: np.ndarray, second: np.ndarray, max_distance: int = MAX_DISTANCE
) -> Iterator[tuple[int, int]]:
    """Yields (index in `second`, index of the nearest in `first`) of hashes that differ in few bits.

    Args:
        first, second: hashes (N, 2) and (M, 2) uint64.
        max_distance: number of bits that may differ.
    """
    if not len(first):
        return
    for begin in range(0, len(second), _ROWS):
        part = second[begin : begin + _ROWS]
        nearest, least = np.zeros(len(part), np.int64), np.full(len(part), BITS + 1)
        for start in range(0, len(first), _ROWS):
            others = first[start : start + _ROWS]
            apart = np.bitwise_count(part[:, None, 0] ^ others[None, :, 0])  # uint8, which holds 128
            apart += np.bitwise_count(part[:, None, 1] ^ others[None, :, 1])
            at = apart.argmin(1)
            distance = apart[np.arange(len(part)), at]
            closer = distance < least
            nearest[closer], least[closer] = start + at[closer], distance[closer]
        for row in np.flatnonzero(least <= max_distance):
            yield begin + int(row), int(nearest[row])
