"""Computes the factors of classes on the training loss: `train.class_weights`."""

from collections.abc import Sequence

import numpy as np

from keras_resnet.errors import ConfigError, suggest

_SHOWN = 10


def class_weights(setting, names: Sequence[str], labels: np.ndarray | None) -> np.ndarray | None:
    """Returns a factor for each class (classes,) float32; None if there are none.

    "balanced" gives n / (K n_k), scikit-learn's balanced weights, whose mean over the n images is 1.

    Args:
        setting: `train.class_weights`: "balanced", {class: weight}, or None.
        names: the K class names.
        labels: (n,) of the training images; None if they are not known without reading the images.

    Raises:
        ConfigError: a name is no class, or balanced weights need labels that are not known.
    """
    if setting is None:
        return None
    found = np.ones(len(names), np.float32)
    if setting != "balanced":
        for name, weight in setting.items():
            if name not in names:
                raise ConfigError(f'train.class_weights: no class "{name}"; {suggest(name, names)}')
            found[list(names).index(name)] = weight
        return found
    if labels is None:
        raise ConfigError(
            "train.class_weights: balanced needs labels that are known without reading the images, as of folder:PATH "
            "and csv:PATH; name the weights, as {class: weight}"
        )
    return balanced_weights(labels, len(names))


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """labels (n,) -> n / (K n_k) for each of the K classes that have labels, 1 for others, (classes,) float32."""
    from sklearn.utils.class_weight import compute_class_weight  # takes a second

    found, present = np.ones(classes, np.float32), np.unique(labels)
    found[present] = compute_class_weight("balanced", classes=present, y=labels)
    return found


def weights_text(weights: np.ndarray | None, names: Sequence[str]) -> dict[str, str]:
    """Returns {"weights": the factors of the first classes} for a run's start; {} if there are none.

    Of factors (2, classes) of negatives and positives, it has those of positives.
    """
    if weights is None:
        return {}
    of_classes = zip(names[:_SHOWN], np.atleast_2d(weights)[-1], strict=False)
    shown = ", ".join(f"{name} {weight:.4g}" for name, weight in of_classes)
    more = len(names) - _SHOWN
    return {"weights": shown + (f" and {more:,} more" if more > 0 else "")}
