"""Computes metrics of predictions: errors in percent with confidence intervals, metrics per class."""

from dataclasses import asdict, dataclass

import numpy as np

TOP_5_FROM = 20  # smallest number of classes for which the top-5 error is meaningful


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
    """Returns {"error": {...}, "top5_error": {...}, "loss": ...} for JSON; top5_error for 20 or more classes."""
    scores, labels = predictions.scores, predictions.labels
    ranks = {"error": 1} | ({"top5_error": 5} if scores.shape[1] >= TOP_5_FROM else {})
    errors = {name: asdict(top_error(scores, labels, k)) for name, k in ranks.items()}
    return errors | {"loss": cross_entropy(scores, labels)}


def wilson_interval(wrong: int, images: int) -> tuple[float, float]:
    """Returns the 95 % confidence interval of an error rate, in percent."""
    z = 1.959964
    rate, spread = wrong / images, z**2 / images
    center = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(rate * (1 - rate) / images + spread / (4 * images))
    return 100 * max(center - half, 0.0), 100 * min(center + half, 1.0)


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean of -log of the label's score."""
    return float(-np.log(np.maximum(scores[np.arange(len(labels)), labels], 1e-30)).mean())


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
