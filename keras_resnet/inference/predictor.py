"""Defines the interface of predictors for all kinds of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_resnet.description import Preprocessing
from keras_resnet.errors import ConfigError

DEFAULT_TOP_K = 5  # or all classes if there are fewer


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, best first, each with its label and its score in [0, 1]."""

    classes: tuple[int, ...]
    labels: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class ImageError:
    """The reason why an image has no prediction, in a few words that follow its name."""

    what: str


Answer = Prediction | ImageError


class Predictor(Protocol):
    """A network that is ready to predict.

    Attributes:
        kind: "keras", "saved_model", "litert" or "onnx".
        source: the model as the user named it.
        labels: the class names.
        image_shape: (H, W, C) of the images that `logits` takes.
        preprocessing: how to prepare an image for `logits`.
        max_top_k: the largest number of classes that `answer` can return.
    """

    kind: str
    source: str
    labels: tuple[str, ...]
    image_shape: tuple[int, ...]
    preprocessing: Preprocessing
    max_top_k: int

    def logits(self, images: np.ndarray) -> np.ndarray:
        """images (N, H, W, C) float32 in [0, 255], prepared -> logits (N, classes) float32."""

    def answer(self, contents: Sequence[bytes], top_k: int) -> list[Answer]:
        """The bytes of N images of any size -> N answers; an unreadable image does not affect the others."""


def check_top_k(predictor: Predictor, top_k: int | None) -> int:
    """Returns the number of classes to answer.

    Raises:
        ConfigError: `top_k` is larger than the predictor's `max_top_k`.
    """
    if top_k is None:
        return min(DEFAULT_TOP_K, predictor.max_top_k)
    if top_k > predictor.max_top_k:
        why = "classes" if predictor.max_top_k == len(predictor.labels) else "classes in an answer (export.top_k)"
        raise ConfigError(f"--top_k={top_k}: {predictor.source} has {predictor.max_top_k} {why}")
    return top_k


def best_classes(logits: np.ndarray, labels: Sequence[str], top_k: int) -> list[Prediction]:
    """logits (N, classes) -> N predictions; for equal scores, the smaller class comes first."""
    logits = logits.astype(np.float64)
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    order = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]
    return [
        Prediction(tuple(best.tolist()), tuple(labels[i] for i in best), tuple(row[best].tolist()))
        for row, best in zip(scores, order, strict=True)
    ]
