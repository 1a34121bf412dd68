"""Defines predictors and their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_resnet.description import Preprocessing
from keras_resnet.errors import ConfigError

DEFAULT_TOP_K = 5  # or all classes if there are fewer


@dataclass(frozen=True)
class Prediction:
    """The best classes of one image, or the objects in it, best first, each with its label and its score in [0, 1].

    Objects have boxes too, (y1, x1, y2, x2) in pixels of the image, and masks if the detector finds them: run lengths
    in COCO's form, {"size": [height, width], "counts": text}.
    """

    classes: tuple[int, ...]
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    boxes: tuple[tuple[float, float, float, float], ...] | None = None
    masks: tuple[dict, ...] | None = None

    def above(self, score: float) -> "Prediction":
        """Returns the classes or objects whose score is `score` or more."""
        count = sum(each >= score for each in self.scores)  # the best are first
        boxes = None if self.boxes is None else self.boxes[:count]
        masks = None if self.masks is None else self.masks[:count]
        return Prediction(self.classes[:count], self.labels[:count], self.scores[:count], boxes, masks)

    def coco_boxes(self) -> list[list[float]]:
        """Returns the boxes in COCO's form, x, y, width and height, to a hundredth of a pixel."""
        return [[round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)] for y1, x1, y2, x2 in self.boxes or ()]


@dataclass(frozen=True)
class ImageError:
    """The reason why an image has no prediction, in a few words that follow its name."""

    what: str


Answer = Prediction | ImageError


class Predictor(Protocol):
    """A network that is ready to predict.

    Attributes:
        kind: "keras" or the name of an export format.
        source: the model as the user named it.
        labels: the class names.
        image_shape: (H, W, C) of prepared images.
        preprocessing: how to prepare an image.
        max_top_k: the largest number of classes or objects that `answer` can return.
        finds_boxes: whether its predictions are objects with boxes: it is a `BoxPredictor`, else a `ClassPredictor`.
    """

    kind: str
    source: str
    labels: tuple[str, ...]
    image_shape: tuple[int, ...]
    preprocessing: Preprocessing
    max_top_k: int
    finds_boxes: bool

    def answer(self, contents: Sequence[bytes], top_k: int) -> list[Answer]:
        """The bytes of N images of any size -> N answers; an unreadable image does not affect the others."""


class ClassPredictor(Predictor, Protocol):
    """A `Predictor` of classes.

    Attributes:
        thresholds: of a multi-label classifier, for each class the score from which on it is an answer; else empty.
    """

    thresholds: tuple[float, ...]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """images (N, H, W, C) float32 in [0, 255], prepared -> logits (N, classes) float32."""


class BoxPredictor(Predictor, Protocol):
    """A `Predictor` of objects with boxes."""

    def detections(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """images (N, H, W, C) float32 in [0, 255], prepared -> boxes (N, D, 4), scores and classes (N, D), best first.

        "num_detections" (N,) says how many rows there are; the boxes are in pixels of the prepared images. There may be
        "masks" (N, D, m, m) in [0, 1], each in its box.
        """


def check_top_k(predictor: Predictor, top_k: int | None) -> int:
    """Returns the number of classes to answer; None stands for a few, and for all of a detector or multi-label model.

    Raises:
        ConfigError: `top_k` is larger than the predictor's `max_top_k`.
    """
    if top_k is None:
        every = predictor.finds_boxes or bool(getattr(predictor, "thresholds", ()))
        return predictor.max_top_k if every else min(DEFAULT_TOP_K, predictor.max_top_k)
    if top_k > predictor.max_top_k and predictor.finds_boxes:
        raise ConfigError(f"--top_k={top_k}: {predictor.source} finds {predictor.max_top_k} objects or fewer")
    if top_k > predictor.max_top_k:
        why = "classes" if predictor.max_top_k == len(predictor.labels) else "classes in an answer (export.top_k)"
        raise ConfigError(f"--top_k={top_k}: {predictor.source} has {predictor.max_top_k} {why}")
    return top_k
