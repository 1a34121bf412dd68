"""Predictions -> figures: errors in percent with their uncertainty, classes, confusions."""

from dataclasses import asdict, dataclass

import numpy as np

TOP_5_FROM = 20  # classes, from which on the top-5 error says something


@dataclass(frozen=True)
class Error:
    """Attributes: wrong of images; percent; low and high, the 95 % confidence interval in percent."""

    wrong: int
    images: int
    percent: float
    low: float
    high: float


def top_error(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> Error:
    """scores (N, classes), labels (N,) -> how often the label is not among the k highest scores.

    Of equal scores the first counts as higher, as for argmax. The interval is Wilson's (1927), which holds for small
    numbers and for 0 errors too.
    """
    of_label = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > of_label) | ((scores == of_label) & before)).sum(1)
    wrong = int((rank >= k).sum())
    return Error(wrong, len(labels), 100 * wrong / len(labels), *wilson_interval(wrong, len(labels)))


def measure(predictions) -> dict:
    """Predictions -> {"error": {...}, "top5_error": {...} from 20 classes on, "loss": ...}, fit for JSON."""
    scores, labels = predictions.scores, predictions.labels
    ranks = {"error": 1} | ({"top5_error": 5} if scores.shape[1] >= TOP_5_FROM else {})
    errors = {name: asdict(top_error(scores, labels, k)) for name, k in ranks.items()}
    return errors | {"loss": cross_entropy(scores, labels)}


def wilson_interval(wrong: int, images: int) -> tuple[float, float]:
    """The 95 % confidence interval of a rate of errors, in percent."""
    z = 1.959964
    rate, spread = wrong / images, z**2 / images
    center = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(rate * (1 - rate) / images + spread / (4 * images))
    return 100 * max(center - half, 0.0), 100 * min(center + half, 1.0)


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log of the label's score."""
    return float(-np.log(np.maximum(scores[np.arange(len(labels)), labels], 1e-30)).mean())


def confusion_matrix(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(classes, classes) counts: rows the truth, columns the answer."""
    classes = scores.shape[1]
    return np.bincount(labels * classes + scores.argmax(1), minlength=classes**2).reshape(classes, classes)


def by_class(matrix: np.ndarray, names: tuple[str, ...]) -> list[dict]:
    """Confusion matrix -> a row per class: images, error (percent; of its images), precision, most frequent mistake."""
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
    """Rows of the wrong answers that were given with the highest score, worst first."""
    answers = scores.argmax(1)
    wrong = np.flatnonzero(answers != labels)
    return wrong[np.argsort(-scores[wrong, answers[wrong]], kind="stable")][:count]
