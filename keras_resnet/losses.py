"""Provides the table of classification losses that `train.loss` selects from.

A loss is a function (targets, logits, settings) -> losses (N,). `targets` (N, classes) are shares of each class that
sum to 1, mixed ones too; `settings` is the configuration group `train`. The module imports Keras on first use only.
"""

from collections.abc import Callable
from typing import NamedTuple


def smoothed(targets, share):
    """targets (N, classes) -> the same with `share` of each row spread over all classes (Szegedy et al. 2016)."""
    return targets * (1 - share) + share / targets.shape[-1] if share else targets


def cross_entropy(targets, logits, settings):
    """Returns the cross entropy of the softmax."""
    import keras

    return keras.losses.categorical_crossentropy(
        targets, logits, from_logits=True, label_smoothing=settings.label_smoothing
    )


def binary_cross_entropy(targets, logits, settings):
    """Returns the mean over all classes of the cross entropies of their sigmoids (Wightman et al. 2021, section 2.2).

    With `target_threshold`, every class above it has target 1 before smoothing: all classes of a mixed image are right.
    """
    import keras

    if settings.target_threshold is not None:
        targets = keras.ops.cast(targets > settings.target_threshold, targets.dtype)
    return keras.losses.binary_crossentropy(smoothed(targets, settings.label_smoothing), logits, from_logits=True)


def focal(targets, logits, settings):
    """Returns the cross entropy of the softmax, times (1 - p) ** gamma for each class (Lin et al. 2017, equation 4)."""
    from keras import ops

    log_shares = ops.log_softmax(logits, -1)
    factor = (1 - ops.exp(log_shares)) ** settings.focal_gamma
    return -ops.sum(smoothed(targets, settings.label_smoothing) * factor * log_shares, -1)


def distillation(teacher_logits, logits, temperature):
    """Returns T ** 2 times the divergence of the student's softmax from the teacher's, both of logits / T, (N,).

    The factor keeps gradients of the same size for each temperature T (Hinton et al. 2015, section 2.1).
    """
    from keras import ops

    teacher, student = (ops.log_softmax(each / temperature, -1) for each in (teacher_logits, logits))
    return temperature**2 * ops.sum(ops.exp(teacher) * (teacher - student), -1)


class LossRow(NamedTuple):
    """Attributes: function; text, its description for the configuration key; options, its own keys of `train`."""

    function: Callable
    text: str
    options: tuple[str, ...] = ()


LOSSES = {
    "cross_entropy": LossRow(cross_entropy, "of the softmax over the classes"),
    "binary_cross_entropy": LossRow(
        binary_cross_entropy,
        "mean over the classes, each by itself (Wightman et al. 2021)",
        ("target_threshold",),
    ),
    "focal": LossRow(
        focal, "cross entropy with a smaller weight for right answers (Lin et al. 2017)", ("focal_gamma",)
    ),
}
