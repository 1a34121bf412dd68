"""What all kinds of networks have in common when they are asked about images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_resnet.description import Preprocessing
from keras_resnet.errors import ConfigError

DEFAULT_TOP_K = 5  # or all of fewer


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, best first, each with its label and its score in [0, 1]."""

    classes: tuple[int, ...]
    labels: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class ImageError:
    """Why an image has no answer, in a few words that go after its name."""

    what: str


Answer = Prediction | ImageError


class Predictor(Protocol):
    """A network that is ready to be asked.

    Attributes:
        kind: "keras", "saved_model", "litert" or "onnx".
        source: what the user named.
        labels: a name for each class.
        image_shape: (H, W, C) of the images that `logits` takes.
        preprocessing: how an image is made ready for `logits`.
        max_top_k: how many classes `answer` can give.
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
        """The bytes of N pictures of any size -> N answers; one that cannot be read harms no other."""


def check_top_k(predictor: Predictor, top_k: int | None) -> int:
    """How many classes to answer.

    Raises:
        ConfigError: more than it can give.
    """
    if top_k is None:
        return min(DEFAULT_TOP_K, predictor.max_top_k)
    if top_k > predictor.max_top_k:
        why = "classes" if predictor.max_top_k == len(predictor.labels) else "classes in an answer (export.top_k)"
        raise ConfigError(f"--top_k={top_k}: {predictor.source} has {predictor.max_top_k} {why}")
    return top_k


def best_classes(logits: np.ndarray, labels: Sequence[str], top_k: int) -> list[Prediction]:
    """logits (N, classes) -> N predictions; of equal scores the smaller class comes first."""
    logits = logits.astype(np.float64)
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    order = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]
    return [
        Prediction(tuple(best.tolist()), tuple(labels[i] for i in best), tuple(row[best].tolist()))
        for row, best in zip(scores, order, strict=True)
    ]
