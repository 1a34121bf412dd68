"""Orders training images: each once in an epoch, or with chosen shares of the classes (`data.sampling`).

The image at a position of the run's stream of samples is a function of the seed and the position alone.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_resnet.config.labels import Sampling
from keras_resnet.data.image_set import Split
from keras_resnet.errors import ConfigError


def image_order(split: Split, seed: int, sampling: Sampling = "natural") -> Callable:
    """Returns a function position () int64 -> index of the image () int64.

    | sampling | positions of class k in an epoch, of n positions and K classes with n_k images |
    |---|---|
    | natural | n_k, each image once |
    | balanced | n / K |
    | sqrt | n sqrt(n_k) / the sum of the roots |

    Positions of an epoch are shuffled. Numbers of positions are rounded by the largest remainders. The images of a
    class come in turn, all of them in a new order before one of them is repeated, over the epochs too.

    Raises:
        ConfigError: the split's labels are not known without reading the images.
    """
    if sampling == "natural":
        return lambda position: shuffled(position % split.size, position // split.size, split.size, seed)
    if split.labels is None:
        raise ConfigError(
            f"data.sampling: {sampling} needs labels that are known without reading the images, as of folder:PATH and "
            "csv:PATH"
        )
    counts = np.bincount(split.labels)
    shares = np.where(counts > 0, 1.0, 0.0) if sampling == "balanced" else np.sqrt(counts)
    quotas = rounded(shares / shares.sum() * split.size)
    with tf.device("CPU:0"):
        members = tf.constant(np.argsort(split.labels, kind="stable"), tf.int64)
        sizes, first_member = tf.constant(counts, tf.int64), tf.constant(np.cumsum(counts) - counts, tf.int64)
        per_epoch, first_slot = tf.constant(quotas, tf.int64), tf.constant(np.cumsum(quotas) - quotas, tf.int64)
        ends = tf.constant(np.cumsum(quotas), tf.int64)

    def index(position):
        position = tf.cast(position, tf.int64)
        epoch = position // split.size
        slot = shuffled(position % split.size, epoch, split.size, seed)
        label = tf.searchsorted(ends, slot[None], side="right")[0]
        drawn = epoch * per_epoch[label] + slot - first_slot[label]  # images of the class drawn before, in all epochs
        size = sizes[label]
        # The rounds of each class have keys of their own.
        key = (drawn // size) * len(counts) + tf.cast(label, tf.int64)
        return members[first_member[label] + shuffled(drawn % size, key, size, seed)]

    return index


def with_repeats(order: Callable, batch_size: int, repeats: int) -> Callable:
    """Returns an order in which each image of `order` comes `repeats` times in sequence (Berman et al. 2019).

    An epoch's number of samples then covers 1 / `repeats` of the images. Inside a batch, the copies of an image are
    about batch_size / repeats places apart: neighbors, which are mixed, differ, and so do the copies of a replica if
    there are at least `repeats` replicas.
    """
    if repeats == 1:
        return order
    starts = np.cumsum([0, *(len(range(first, batch_size, repeats)) for first in range(repeats - 1))])

    def index(position):
        position = tf.cast(position, tf.int64)
        place = position % batch_size
        copy = tf.reduce_sum(tf.cast(place >= tf.constant(starts, tf.int64), tf.int64)) - 1
        position += copy + repeats * (place - tf.gather(tf.constant(starts, tf.int64), copy)) - place
        return order(position // repeats)

    return index


def rounded(values: np.ndarray) -> np.ndarray:
    """Rounds numbers to whole ones of the same sum, up where the remainders are largest, earlier ones first."""
    whole = np.floor(values + 1e-9).astype(np.int64)
    missing = round(float(values.sum())) - whole.sum()
    whole[np.argsort(-(values - whole), kind="stable")[:missing]] += 1
    return whole


def shuffled(index, epoch, size, seed):
    """index () int64 in [0, size) -> its position in the epoch's order: a permutation that needs no memory."""
    key = tf.cast(tf.stack([tf.cast(seed, tf.int64), epoch]), tf.uint32)
    return tf.random.experimental.index_shuffle(index, key, tf.cast(size, tf.int64) - 1)
