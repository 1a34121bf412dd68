"""Tests the files of `evaluate --report`, character by character."""

import json
import types

import numpy as np
import tensorflow as tf

from keras_resnet.classification.protocols import Predictions
from keras_resnet.classification.report import write_report
from keras_resnet.description import Preprocessing

# Class "c" has no image, the last, whose name is no formula, is never predicted; row 5 is a tie, which the first class
# wins.
SCORES = [[0.7, 0.1, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.1, 0.8, 0.1, 0.0]]
SCORES += [[0.9, 0.1, 0.0, 0.0], [0.1, 0.2, 0.6, 0.1], [0.4, 0.4, 0.1, 0.1], [0.8, 0.0, 0.1, 0.1]]
LABELS = [0, 1, 1, 3, 3, 0, 0]

CLASSES = """\
class,images,error,precision,mistaken_for,times
a,3,0.0,60.0,,0
b,2,50.0,100.0,a,1
c,0,,0.0,,0
d$_$,2,100.0,,a,1
"""
ERRORS = """\
image,label,answer,score,score_of_label
13.png,d$_$,a,0.9,0.0
11.png,b,a,0.6,0.2
14.png,d$_$,c,0.6,0.1
"""


def test_write_report_files(tmp_path):
    pixels = tf.io.encode_png(np.zeros((4, 4, 3), np.uint8))
    split = types.SimpleNamespace(source=lambda i: f"{i}.png", read=lambda i: (pixels, 0))
    images = types.SimpleNamespace(split=lambda name: split)
    task = types.SimpleNamespace(images=images, labels=("a", "b", "c", "d$_$"), image_shape=(4, 4, 3))
    task.description = types.SimpleNamespace(preprocessing=Preprocessing())
    predictions = Predictions(np.array(SCORES), np.array(LABELS, np.int32), np.arange(10, 17))
    paths = write_report(str(tmp_path / "report"), task, "test", predictions, {"loss": 0.5})
    files = {path.name: path for path in (tmp_path / "report").iterdir()}
    assert sorted(paths) == sorted(map(str, files.values()))
    assert sorted(files) == ["classes.csv", "confusion.png", "errors.csv", "errors.png", "evaluation.json"]
    assert files["classes.csv"].read_text() == CLASSES
    assert files["errors.csv"].read_text() == ERRORS
    assert json.loads(files["evaluation.json"].read_text()) == {"loss": 0.5}
