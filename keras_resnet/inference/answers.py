"""Writes answers as a table, CSV or JSON, one image at a time; treats labels and file names as untrusted."""

import csv
import io
import json
import re

from keras_resnet.inference.predictor import Answer, ImageError

FORMATS = ("table", "json", "csv")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets run a cell with such a prefix
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def printable(text: str) -> str:
    r"""Returns the text on one line, without terminal control characters: a new line becomes \n, others \x1b."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in _clean(text))


def plain_cell(text: str) -> str:
    """Returns a CSV cell that no spreadsheet reads as a formula."""
    text = _clean(text)
    return f"'{text}" if text.startswith(_FORMULA) or re.match(r"\s+[=+\-@]", text) else text


def _clean(text):
    """Escapes file names that are not UTF-8, so that any stream accepts them."""
    return text.encode(errors="backslashreplace").decode()


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
        entry: dict = {"image": _clean(path)}
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


def csv_line(cells) -> str:
    """Returns a line of CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()
