"""Writes answers as a table, CSV or JSON."""

import json

from keras_resnet.files import csv_line, escape_undecodable, plain_cell
from keras_resnet.inference.answers import Answer, ImageError

FORMATS = ("table", "json", "csv")
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


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
