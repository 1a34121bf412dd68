"""Samples of positive and negative boxes for a loss, drawn by a seed."""

from typing import NamedTuple

import tensorflow as tf

from keras_resnet.boxes.matching import NEGATIVE, POSITIVE


class Sample(NamedTuple):
    """What `sample` returns: positives first, then negatives, then padding."""

    indices: tf.Tensor  # (N, count) int32, of the labels; 0 in padding
    positive: tf.Tensor  # (N, count) bool
    valid: tf.Tensor  # (N, count) bool, false in padding


def sample(labels, seeds, count, positive_fraction) -> Sample:
    """labels (N, A), seeds (N, 2) -> indices and masks (N, count): a random subset of positives and negatives.

    At most `count * positive_fraction` boxes are positive; negatives fill the rest. A row depends on its labels and its
    seed only. XLA draws other numbers from a seed than TensorFlow's kernels: a run that resumes needs the same setting.

    Args:
        labels: of `matching.match`.
        seeds: integers, such as the (seed, position) of each image.
        count: boxes per image.
        positive_fraction: greatest share of positives, 0.5 for anchors (Ren et al. 2015) and 0.25 for proposals
            (Girshick 2015).
    """
    boxes = tf.shape(labels)[1]
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([boxes], seed),
        seeds,
        fn_output_signature=tf.TensorSpec([None], tf.float32),
    )
    most = int(count * positive_fraction)
    positives, found_positives = _first(labels == POSITIVE, draws, most)
    negatives, found_negatives = _first(labels == NEGATIVE, draws, count)
    order = tf.range(count)[None]
    positive = order < found_positives
    valid = order < found_positives + found_negatives
    choice = tf.where(positive, order, most + order - found_positives)
    indices = tf.gather(tf.concat([positives, negatives], axis=1), choice, batch_dims=1)
    return Sample(tf.where(valid, indices, 0), positive, valid)


def _first(mask, draws, count):
    """mask (N, A), draws (N, A) -> indices (N, count) of true entries with the greatest draws; their number (N, 1)."""
    padding = [[0, 0], [0, count]]  # A may be smaller than count
    draws = tf.pad(tf.where(mask, draws, -1.0), padding, constant_values=-1.0)
    values, indices = tf.math.top_k(draws, count)
    return indices, tf.reduce_sum(tf.cast(values >= 0, tf.int32), axis=1, keepdims=True)
