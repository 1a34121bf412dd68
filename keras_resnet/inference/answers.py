"""Defines predictors and their answers, and writes answers as a table, CSV or JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_resnet.description import Preprocessing
from keras_resnet.errors import ConfigError
from keras_resnet.files import csv_line, escape_undecodable, plain_cell
from keras_resnet.inference.pasting import pasted

DEFAULT_TOP_K = 5  # or all classes if there are fewer

FORMATS = ("table", "json", "csv")
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


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


def labels_above(
    logits: np.ndarray, labels: Sequence[str], thresholds: Sequence[float], top_k: int
) -> list[Prediction]:
    """logits (N, classes) -> N predictions: the classes whose sigmoid is their threshold or more, best first."""
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    accepted = scores >= np.asarray(thresholds)
    order = np.argsort(np.where(accepted, -scores, 1.0), axis=-1, kind="stable")[:, :top_k]
    predictions = []
    for row, of_row, best in zip(scores, accepted, order, strict=True):
        kept = best[of_row[best]]
        names = tuple(labels[i] for i in kept)
        predictions.append(Prediction(tuple(kept.tolist()), names, tuple(row[kept].tolist())))
    return predictions


def best_objects(
    outputs: Mapping[str, np.ndarray],
    labels: Sequence[str],
    top_k: int,
    sizes: Sequence[tuple[int, int]],
    side: int,
    crop_pct: float | None = None,
) -> list[Prediction]:
    """Returns the predictions of N images from `Predictor.detections` of these images, prepared.

    Args:
        outputs: see `Predictor.detections`.
        labels: the class names.
        top_k: greatest number of objects of an image.
        sizes: (height, width) of each image in pixels.
        side: height and width of the prepared images.
        crop_pct: that of images which are resized and cropped; None for letterboxed ones.
    """
    predictions = []
    for row, (height, width) in enumerate(sizes):
        count = int(outputs["num_detections"][row])
        boxes = _in_image(outputs["boxes"][row, :count], (height, width), side, crop_pct)
        boxes = np.clip(boxes, 0, [height, width, height, width])
        found = {name: value[row] for name, value in outputs.items() if name in ("classes", "scores", "masks")}
        predictions.append(objects_of(found | {"boxes": boxes}, labels, top_k, (height, width), crop_pct is None))
    return predictions


def _in_image(boxes, size, side, crop_pct):
    """Boxes (R, 4) in pixels of a prepared image -> in pixels of the image, of `size`."""
    if crop_pct is None:
        return boxes * (max(size) / side)
    shape = np.asarray(size, np.float32)
    scaled = np.round(shape * (np.float32(round(side / crop_pct)) / shape.min()))
    return (boxes + np.tile((scaled - side) // 2, 2)) / np.tile(scaled / shape, 2)


def have_area(boxes: np.ndarray) -> np.ndarray:
    """boxes (R, 4), y1 x1 y2 x2 -> (R,) bool: false for one that was found beside the image, in its letterbox."""
    larger: np.ndarray = boxes[:, 2:] > boxes[:, :2]
    return larger[:, 0] & larger[:, 1]


def objects_of(
    found: Mapping[str, np.ndarray], labels: Sequence[str], top_k: int, size: tuple[int, int], letterboxed: bool
) -> Prediction:
    """Returns the prediction of one image.

    Args:
        found: "boxes" (R, 4) in pixels of the image; "classes", "scores" and any "masks" of R objects or more.
        labels: the class names.
        top_k: greatest number of objects.
        size: height and width of the image.
        letterboxed: it was letterboxed; what has no area in the image is left out.
    """
    rows = np.flatnonzero(have_area(found["boxes"]) | (not letterboxed))[:top_k]
    boxes, numbers = found["boxes"][rows], found["classes"][rows].tolist()
    named = tuple(labels[number] if number < len(labels) else str(number) for number in numbers)
    masks = None
    if "masks" in found:
        whole = pasted(found["masks"][rows], boxes, size)
        masks = tuple({"size": list(size), "counts": mask.decode()} for mask in whole)
    scores = tuple(found["scores"][rows].tolist())
    return Prediction(tuple(numbers), named, scores, tuple(tuple(box) for box in boxes.tolist()), masks)


def printable(text: str) -> str:
    r"""Returns the text on one line, without terminal control characters: a new line becomes \n, others \x1b."""
    text = escape_undecodable(text)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class TableWriter:
    """Writes a line per image: its name, then label and score of each class or object, best first.

    An object's box follows as (x, y, width, height) in pixels.
    """

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
        texts = [f"{printable(label)} {score:.3f}" for label, score in zip(answer.labels, answer.scores, strict=True)]
        if answer.boxes is not None:
            boxes = answer.coco_boxes()
            texts = [f"{text} ({', '.join(f'{n:.0f}' for n in box)})" for text, box in zip(texts, boxes, strict=True)]
        return f"{name}  " + ("  ".join(texts) or ("no label" if answer.boxes is None else "no object")) + "\n"

    def end(self) -> str:
        """Returns an empty string."""
        return ""


class CsvWriter:
    """Writes a line per image and class: image, rank from 1, class, label, score; one error line for a bad image.

    An image without objects or labels has no line.

    Args:
        boxes: write x, y, width and height of each object too.
    """

    def __init__(self, boxes: bool = False):
        self._boxes = boxes

    def begin(self) -> str:
        """Returns the header."""
        box = ["x", "y", "width", "height"] if self._boxes else []
        return csv_line(["image", "rank", "class", "label", "score", *box, "error"])

    def row(self, path: str, answer: Answer) -> str:
        """Returns the lines of an image."""
        name = plain_cell(path)
        if isinstance(answer, ImageError):
            return csv_line([name, *[""] * (8 if self._boxes else 4), plain_cell(answer.what)])
        boxes = answer.coco_boxes() if self._boxes else [[]] * len(answer.classes)
        found = zip(answer.classes, answer.labels, answer.scores, boxes, strict=True)
        return "".join(
            csv_line([name, rank, number, plain_cell(label), f"{score:.6g}", *box, ""])
            for rank, (number, label, score, box) in enumerate(found, 1)
        )

    def end(self) -> str:
        """Returns an empty string."""
        return ""


class JsonWriter:
    """Writes a list with {"image", "predictions": [{"class", "label", "score"}]} or {"image", "error"} per image.

    Objects have a "bbox" too, in COCO's form: [x, y, width, height], and their mask as "segmentation".
    """

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
            for each, box in zip(entry["predictions"], answer.coco_boxes(), strict=False):
                each["bbox"] = box
            for each, mask in zip(entry["predictions"], answer.masks or (), strict=False):
                each["segmentation"] = mask
        separator, self._separator = self._separator, ",\n"
        return separator + dump_json(entry)

    def end(self) -> str:
        """Closes the list."""
        return "\n]\n"


def dump_json(value) -> str:
    """Returns JSON that is safe inside HTML: its strings hold no < > &."""
    return json.dumps(value).translate(_HTML)


def writer_of(kind: str, paths: list[str], boxes: bool = False) -> TableWriter | CsvWriter | JsonWriter:
    """Returns the writer of a format, one of `FORMATS`; `boxes`: the predictions have them."""
    if kind == "table":
        return TableWriter(paths)
    return CsvWriter(boxes) if kind == "csv" else JsonWriter()
