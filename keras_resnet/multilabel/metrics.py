"""Defines the metrics of multi-label classification, and chooses thresholds. Imports no TensorFlow.

Precision, recall, average precision and F1 are scikit-learn's. A class without a positive image in a split has no
average precision there, and no part in the means over classes.
"""

import numpy as np

from keras_resnet.task import Metric

METRICS = {
    "map": Metric(better="higher", precedence=1, compared=True, short="mAP", axis="mAP"),
    "loss": Metric(precedence=2, axis="binary cross entropy", log_axis=True),
    "f1": Metric(better="higher", compared=True, short="F1", axis="F1"),
    "micro_f1": Metric(better="higher", short="micro F1"),
}


def average_precisions(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """targets (N, K) bool, scores (N, K) -> average precision of each class (K,), NaN for one without positives."""
    from sklearn.metrics import average_precision_score  # takes seconds

    found = np.full(targets.shape[1], np.nan)
    for k in np.flatnonzero(targets.any(0)):
        found[k] = average_precision_score(targets[:, k], scores[:, k])
    return found


def measure(targets: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """Returns the metrics over all images; none for a split without a label.

    Args:
        targets: (N, K) bool.
        scores: (N, K) in [0, 1].
        thresholds: (K,), the score from which on a class is an answer.
    """
    from sklearn.metrics import f1_score

    present = targets.any(0)
    if not present.any():
        return {}
    answers = scores >= thresholds
    f1 = f1_score(targets[:, present], answers[:, present], average="macro", zero_division=0)
    micro_f1 = f1_score(targets, answers, average="micro", zero_division=0)
    return {
        "map": float(np.nanmean(average_precisions(targets, scores))),
        "f1": float(f1),
        "micro_f1": float(micro_f1),
    }


def constant_map(targets: np.ndarray) -> float:
    """targets (N, K) bool -> mAP of a constant answer, the mean share of positive images over the classes with any."""
    return float(targets.mean(0)[targets.any(0)].mean())


def best_thresholds(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """targets (N, K) bool, scores (N, K) -> thresholds (K,), float32 values, that maximize the F1 of each class.

    A threshold is halfway between the lowest score that it accepts and the next lower one, or 0; of equal F1, the
    highest. A class without positives has 0.5.
    """
    from sklearn.metrics import precision_recall_curve

    found = np.full(targets.shape[1], 0.5, np.float32)
    for k in np.flatnonzero(targets.any(0)):
        precision, recall, accepted = precision_recall_curve(targets[:, k], scores[:, k])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best = len(accepted) - 1 - int(np.argmax(f1[: len(accepted)][::-1]))
        below = accepted[best - 1] if best else 0.0
        found[k] = (float(accepted[best]) + float(below)) / 2
    return found


def by_class(targets: np.ndarray, scores: np.ndarray, thresholds: np.ndarray, names: tuple[str, ...]) -> list[dict]:
    """Returns a row per class: images, average precision, threshold, and precision, recall and F1 at it."""
    from sklearn.metrics import precision_recall_fscore_support

    average, answers = average_precisions(targets, scores), scores >= thresholds
    precision, recall, f1, _ = precision_recall_fscore_support(targets, answers, average=None, zero_division=0)
    return [
        {
            "class": name,
            "images": int(targets[:, k].sum()),
            "answers": int(answers[:, k].sum()),
            "average_precision": None if np.isnan(average[k]) else float(average[k]),
            "threshold": float(thresholds[k]),
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
        }
        for k, name in enumerate(names)
    ]
