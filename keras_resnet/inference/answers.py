"""Defines predictors and their answers, and writes answers as a table, CSV or JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_resnet.description import Preprocessing
from keras_resnet.errors import ConfigError
from keras_resnet.files import csv_line, escape_undecodable, plain_cell

DEFAULT_TOP_K = 5  # or all classes if there are fewer

FORMATS = ("table", "json", "csv")
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


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
        kind: "keras" or the name of an export format.
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


def printable(text: str) -> str:
    r"""Returns the text on one line, without terminal control characters: a new line becomes \n, others \x1b."""
    text = escape_undecodable(text)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class TableWriter:
    """Writes a line per image: its name, then label and score of each class, best first."""

    def __init__(self, paths: list[str]):
        self._width = min(max(len(printable(path)) for path in paths), 80)

    def begin(self) -> str:
        """Returns an empty string: the table has no header."""
        return ""

    def row(self, path: str, answer: Answer) -> str:
        """Returns the line of an image."""
        name = f"{printable(path):<{self._width}}"
        if isinstance(answer, ImageError):
            return f"{name}  error: {printable(answer.what)}\n"
        pairs = zip(answer.labels, answer.scores, strict=True)
        return f"{name}  " + "  ".join(f"{printable(label)} {score:.3f}" for label, score in pairs) + "\n"

    def end(self) -> str:
        """Returns an empty string."""
        return ""


class CsvWriter:
    """Writes a line per image and class: image, rank from 1, class, label, score; one error line for a bad image."""

    def begin(self) -> str:
        """Returns the header."""
        return csv_line(["image", "rank", "class", "label", "score", "error"])

    def row(self, path: str, answer: Answer) -> str:
        """Returns the lines of an image."""
        name = plain_cell(path)
        if isinstance(answer, ImageError):
            return csv_line([name, "", "", "", "", plain_cell(answer.what)])
        found = zip(answer.classes, answer.labels, answer.scores, strict=True)
        return "".join(
            csv_line([name, rank, number, plain_cell(label), f"{score:.6g}", ""])
            for rank, (number, label, score) in enumerate(found, 1)
        )

    def end(self) -> str:
        """Returns an empty string."""
        return ""


class JsonWriter:
    """Writes a list with {"image", "predictions": [{"class", "label", "score"}]} or {"image", "error"} per image."""

    def __init__(self):
        self._separator = "\n"

    def begin(self) -> str:
        """Opens the list."""
        return "["

    def row(self, path: str, answer: Answer) -> str:
        """Returns the object of an image, on one line."""
        entry: dict = {"image": escape_undecodable(path)}
        if isinstance(answer, ImageError):
            entry["error"] = answer.what
        else:
            found = zip(answer.classes, answer.labels, answer.scores, strict=True)
            entry["predictions"] = [{"class": c, "label": label, "score": score} for c, label, score in found]
        separator, self._separator = self._separator, ",\n"
        return separator + dump_json(entry)

    def end(self) -> str:
        """Closes the list."""
        return "\n]\n"


def dump_json(value) -> str:
    """Returns JSON that is safe inside HTML: its strings hold no < > &."""
    return json.dumps(value).translate(_HTML)


def writer_of(kind: str, paths: list[str]) -> TableWriter | CsvWriter | JsonWriter:
    """Returns the writer of a format, one of `FORMATS`."""
    if kind == "table":
        return TableWriter(paths)
    return CsvWriter() if kind == "csv" else JsonWriter()
