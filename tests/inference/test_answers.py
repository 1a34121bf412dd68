"""Output formats of predictions, also with hostile labels and file names."""

import csv
import io
import json

import numpy as np
import pytest

from keras_resnet.files import plain_cell
from keras_resnet.inference.answers import ImageError, Prediction
from keras_resnet.inference.postprocessing import best_classes
from keras_resnet.inference.writers import CsvWriter, JsonWriter, TableWriter, printable

HOSTILE = ["=cmd()|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "<script>alert(1)</script>", "a\nb", 'q"u,o']
PREDICTION = Prediction(tuple(range(len(HOSTILE))), tuple(HOSTILE), (0.5, *[0.0625] * (len(HOSTILE) - 1)))


def written(writer, path="a.png", answer=PREDICTION):
    return writer.begin() + writer.row(path, answer) + writer.end()


def test_csv_writer_keeps_hostile_labels_as_text():
    """No cell starts like a formula, a newline stays inside its cell, and every label can be recovered."""
    rows = list(csv.DictReader(io.StringIO(written(CsvWriter()))))
    assert [row["label"].removeprefix("'") for row in rows] == HOSTILE
    for row in rows:
        assert row["label"].lstrip()[0] not in "=+-@", row
        assert row["label"][0] not in "=+-@\t\r"
    assert [int(row["rank"]) for row in rows] == list(range(1, len(HOSTILE) + 1))
    assert [float(row["score"]) for row in rows] == list(PREDICTION.scores)


def test_csv_writer_escapes_file_names_and_errors():
    (row,) = csv.DictReader(io.StringIO(written(CsvWriter(), "=a.png", ImageError("-1 pixels"))))
    assert (row["image"], row["error"], row["label"]) == ("'=a.png", "'-1 pixels", "")


def test_json_writer_escapes_html_and_keeps_labels():
    text = written(JsonWriter(), "<b>&.png")
    assert not set("<>&") & set(text)
    (entry,) = json.loads(text)
    assert entry["image"] == "<b>&.png"
    assert [each["label"] for each in entry["predictions"]] == HOSTILE
    assert [each["score"] for each in entry["predictions"]] == list(PREDICTION.scores)


def test_json_writer_with_several_images():
    writer = JsonWriter()
    text = writer.begin() + writer.row("a", PREDICTION) + writer.row("b", ImageError("is empty")) + writer.end()
    assert [entry["image"] for entry in json.loads(text)] == ["a", "b"]
    assert json.loads(text)[1] == {"image": "b", "error": "is empty"}


def test_table_writer_has_one_line_per_hostile_file_name():
    paths = ["a\nb.png", "\x1b[2Jc.png"]
    writer = TableWriter(paths)
    text = "".join(writer.row(path, PREDICTION) for path in paths)
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text
    assert "a\\nb 0.062" in text


def test_writers_escape_file_names_that_are_not_utf8():
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    assert printable(name) == plain_cell(name) == "\\udcff.png"
    assert json.loads(written(JsonWriter(), name))[0]["image"] == "\\udcff.png"


def test_best_classes_by_hand():
    """Logits ln 1, ln 2, ln 5, ln 2 have scores 0.1, 0.2, 0.5, 0.2; of equal scores, the first class comes first."""
    (found,) = best_classes(np.log([[1.0, 2.0, 5.0, 2.0]]), ["a", "b", "c", "d"], 3)
    assert found.classes == (2, 1, 3)
    assert found.labels == ("c", "b", "d")
    assert found.scores == pytest.approx((0.5, 0.2, 0.2))


def test_best_classes_of_large_logits_does_not_overflow():
    (found,) = best_classes(np.array([[1e4, 0.0]], np.float32), ["a", "b"], 2)
    assert found.scores == (1.0, 0.0)
