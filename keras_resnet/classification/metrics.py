"""Provides the table of classification metrics, confidence intervals of errors, and metrics per class.

Importing the module does not import TensorFlow, because commands that only show metrics read the table.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_resnet.task import Metric

LEAST_SCORE = 1e-30  # lower bound of a score before its logarithm


@dataclass(frozen=True, kw_only=True)
class MeanMetric(Metric):
    """A mean over images, times 100 if it is in percent.

    Attributes:
        of_images: losses (N,), logits (N, classes), labels (N,) int32 -> values (N,), as TensorFlow tensors.
        sum: name of the sum of the values over images, as in checkpoints.
        in_training: whether training steps compute it too; evaluations always do.
        classes_from: smallest number of classes for which it is meaningful.
        top_k: k of a top-k error, for which `keras-resnet evaluate` gives a confidence interval.
    """

    of_images: Callable[[Any, Any, Any], Any]
    sum: str
    in_training: bool = True
    classes_from: int = 1
    top_k: int | None = None

    @property
    def scale(self) -> int:
        """Returns what the mean over images is multiplied by."""
        return 100 if self.unit == "%" else 1


def _wrong(losses, logits, labels):
    import tensorflow as tf

    return tf.cast(tf.argmax(logits, -1, tf.int32) != labels, losses.dtype)


def _wrong_top5(losses, logits, labels):
    import tensorflow as tf

    return 1 - tf.cast(tf.math.in_top_k(labels, logits, 5), losses.dtype)


METRICS = {
    "loss": MeanMetric(
        of_images=lambda losses, logits, labels: losses, sum="loss", precedence=2, axis="cross entropy", log_axis=True
    ),
    "error": MeanMetric(
        of_images=_wrong, sum="wrong", unit="%", precedence=1, compared=True, axis="error (%)", top_k=1
    ),
    "top5_error": MeanMetric(
        of_images=_wrong_top5, sum="wrong_top5", unit="%", compared=True, in_training=False, classes_from=20, top_k=5
    ),
}


def batch_sums(losses, logits, labels, weights, training: bool) -> dict[str, Any]:
    """losses (N,), logits (N, classes), labels (N,), weights (N,) -> {name: sum ()} of the metrics, and "images"."""
    import tensorflow as tf

    weights = tf.cast(weights, losses.dtype)
    sums = {
        row.sum: tf.reduce_sum(row.of_images(losses, logits, labels) * weights)
        for row in METRICS.values()
        if logits.shape[-1] >= row.classes_from and (row.in_training or not training)
    }
    return sums | {"images": tf.reduce_sum(weights)}


def summarize(sums: dict[str, float]) -> dict[str, float]:
    """Returns the metrics whose sums over all images are given."""
    images = sums["images"] or np.nan
    return {name: row.scale * sums[row.sum] / images for name, row in METRICS.items() if row.sum in sums}


@dataclass(frozen=True)
class Error:
    """An error rate.

    Attributes:
        wrong: number of wrong predictions.
        images: number of all predictions.
        percent: the error in percent.
        low, high: its 95 % confidence interval in percent.
    """

    wrong: int
    images: int
    percent: float
    low: float
    high: float


def top_error(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> Error:
    """scores (N, classes), labels (N,) -> the top-k error, the rate of labels not among the k highest scores.

    Of equal scores, the first one ranks higher, as in argmax. The interval is Wilson's (1927), which is also valid for
    few images and for 0 errors.
    """
    of_label = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > of_label) | ((scores == of_label) & before)).sum(1)
    wrong = int((rank >= k).sum())
    return Error(wrong, len(labels), 100 * wrong / len(labels), *wilson_interval(wrong, len(labels)))


def measure(predictions) -> dict:
    """Returns the metrics of predictions for JSON: {"error": {...}, "loss": ...}, top-k errors first."""
    scores, labels = predictions.scores, predictions.labels
    rows = {name: row for name, row in METRICS.items() if scores.shape[1] >= row.classes_from}
    errors = {name: asdict(top_error(scores, labels, row.top_k)) for name, row in rows.items() if row.top_k}
    losses, logits = cross_entropies(scores, labels), np.log(np.maximum(scores, LEAST_SCORE))
    means = {
        name: row.scale * float(np.mean(row.of_images(losses, logits, labels)))
        for name, row in rows.items()
        if not row.top_k
    }
    return errors | means


def wilson_interval(wrong: int, images: int) -> tuple[float, float]:
    """Returns the 95 % confidence interval of an error rate, in percent."""
    z = 1.959964
    rate, spread = wrong / images, z**2 / images
    center = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(rate * (1 - rate) / images + spread / (4 * images))
    return 100 * max(center - half, 0.0), 100 * min(center + half, 1.0)


def cross_entropies(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """scores (N, classes), labels (N,) -> -log of each label's score (N,)."""
    return -np.log(np.maximum(scores[np.arange(len(labels)), labels], LEAST_SCORE))


def by_class(matrix: np.ndarray, names: tuple[str, ...]) -> list[dict]:
    """Returns a row per class: images, error and precision in percent, most frequent mistake.

    Args:
        matrix: confusion matrix (classes, classes) of scikit-learn: rows are labels, columns are predictions.
        names: names of the classes.
    """
    rows = []
    for i, name in enumerate(names):
        images, answers = int(matrix[i].sum()), int(matrix[:, i].sum())
        mistakes = np.where(np.arange(len(names)) == i, 0, matrix[i])
        worst = int(mistakes.argmax())
        rows.append(
            {
                "class": name,
                "images": images,
                "error": 100 * (1 - matrix[i, i] / images) if images else None,
                "precision": 100 * matrix[i, i] / answers if answers else None,
                "mistaken_for": names[worst] if mistakes[worst] else "",
                "times": int(mistakes[worst]),
            }
        )
    return rows


def worst_errors(scores: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Returns the row indices of the wrong predictions with the highest scores, highest score first."""
    answers = scores.argmax(1)
    wrong = np.flatnonzero(answers != labels)
    return wrong[np.argsort(-scores[wrong, answers[wrong]], kind="stable")][:count]
