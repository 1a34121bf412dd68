"""The files of `evaluate --report` for a detector, character by character, and what `evaluate` prints."""

import json
import types
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from made_results import Answers, collected, step

from keras_resnet.config import load_config
from keras_resnet.data import scenes
from keras_resnet.detection import metrics
from keras_resnet.detection.evaluation import Evaluation
from keras_resnet.detection.report import write_report
from keras_resnet.detection.voc_metrics import voc_metrics
from keras_resnet.errors import ConfigError
from keras_resnet.task import load_task

BOX, FAR = (1, 1, 11, 9), (12, 2, 18, 18)
CONFUSION = """\
object,found as cat,found as dog,found as background
cat,1,0,1
dog,1,0,0
background,0,1,0
"""
ERRORS = """\
image,objects,missed,false,wrong class
a/1.png,2,0,1,1
a/2.png,1,1,0,0
"""
PAGE = """\
# Evaluation on pets, test

- net (runs/a)
- protocol voc12, at most 7 detections per image
- features of RoIs at the scales 96, 128
- boxes are refined, and vote

| metric | value |
|---|---:|
| VOC12 AP | 0.4167 |

## Classes

| class | objects | voc12_ap |
|---|---:|---:|
| cat | 2 | 0.5000 |
"""


def test_write_report_files(tmp_path):
    """A cat found and a dog found as a cat; a false dog; an image without mistakes; a cat not found."""
    collector = collected(
        partial(voc_metrics, classes=2, protocol="voc12"),
        step([], []),
        step([(BOX, 0), (FAR, 1)], [(BOX, 0, 0.9), (FAR, 0, 0.8), ((0, 10, 5, 20), 1, 0.7)]),
        step([(BOX, 0)], [(BOX, 0, 0.4)]),
    )
    measured = collector.metrics()
    pixels = tf.io.encode_png(np.full((20, 20, 3), 90, np.uint8))
    split = types.SimpleNamespace(source=lambda i: f"a/{i}.png", read=lambda i: (pixels, {}), ids=None)
    images = types.SimpleNamespace(split=lambda name: split, category_ids=None)
    task = types.SimpleNamespace(
        images=images, labels=("cat", "dog"), image_shape=(20, 20, 3), metrics=metrics.METRICS, max_detections=7
    )
    rows = [{"class": "cat", "objects": 2, "voc12_ap": 0.5}]
    figures = {"networks": ["net (runs/a)"], "data": "pets", "split": "test", "protocol": "voc12"}
    figures |= {"scales": [96, 128], "refine": True}
    folder = tmp_path / "report"
    paths = write_report(str(folder), task, "test", collector, measured, rows, figures)
    files = {path.name: path for path in folder.iterdir()}
    assert sorted(paths) == sorted(map(str, files.values()))
    names = {"classes.csv", "confusion.csv", "confusion.png", "detections.json", "errors.csv", "errors.png"}
    assert set(files) == names | {"evaluation.json", "precision_recall.csv", "precision_recall.png", "report.md"}
    assert files["confusion.csv"].read_text() == CONFUSION
    assert files["errors.csv"].read_text() == ERRORS
    assert json.loads(files["evaluation.json"].read_text()) == figures
    assert files["classes.csv"].read_text() == "class,objects,voc12_ap\ncat,2,0.5\n"
    curve = files["precision_recall.csv"].read_text().splitlines()
    assert len(curve) == 1 + 2 * 101
    assert curve[:2] == ["class,recall,precision,score", "cat,0.0,1.0,0.9"]
    found = json.loads(files["detections.json"].read_text())
    assert [(each["image_id"], each["category_id"]) for each in found] == [(1, 0), (1, 0), (1, 1), (2, 0)]
    page = files["report.md"].read_text()
    assert page.startswith(PAGE)
    assert "2 of 3 images have mistakes" in page
    for name in ("precision_recall", "confusion", "errors"):
        assert f"({name}.png)" in page
        assert files[f"{name}.png"].stat().st_size > 5000


def test_write_report_without_objects_or_mistakes(tmp_path):
    collector = collected(partial(voc_metrics, classes=1, protocol="voc07"), step([], []))
    measured = collector.metrics()
    images = types.SimpleNamespace(split=lambda name: types.SimpleNamespace(ids=None), category_ids=None)
    task = types.SimpleNamespace(images=images, labels=("cat",), metrics=metrics.METRICS, max_detections=7)
    figures = {"networks": [], "data": "pets", "split": "test", "protocol": "voc07"}
    paths = write_report(str(tmp_path), task, "test", collector, measured, [], figures)
    assert not {path.rpartition("/")[2] for path in paths} & {"errors.csv", "errors.png"}
    assert (tmp_path / "detections.json").read_text() == "[]\n"
    assert "0 of 1 images have mistakes" in (tmp_path / "report.md").read_text()


def test_write_report_tells_classes_of_one_name_apart(tmp_path):
    """Two classes "$_$" and one that has the name of the background: the first of these is found as the second."""
    collector = collected(
        partial(voc_metrics, classes=3, protocol="voc07"), step([(BOX, 0), (FAR, 2)], [(BOX, 1, 0.9)])
    )
    measured = collector.metrics()
    split = types.SimpleNamespace(
        source=lambda i: f"{i}.png", read=lambda i: (tf.io.encode_png(np.zeros((20, 20, 3), np.uint8)), {}), ids=None
    )
    task = types.SimpleNamespace(
        images=types.SimpleNamespace(split=lambda name: split, category_ids=None),
        labels=("$_$", "$_$", "background"),
        image_shape=(20, 20, 3),
        metrics=metrics.METRICS,
        max_detections=7,
    )
    figures = {"networks": [], "data": "pets", "split": "test", "protocol": "voc07"}
    write_report(str(tmp_path), task, "test", collector, measured, [{"class": "a|b", "objects": 1}], figures)
    columns = "found as $_$ (0),found as $_$ (1),found as background (2),found as background (3)"
    assert (tmp_path / "confusion.csv").read_text().splitlines() == [
        f"object,{columns}",
        "$_$ (0),0,1,0,0",
        "$_$ (1),0,0,0,0",
        "background (2),0,0,0,1",
        "background (3),0,0,0,0",
    ]
    curves = (tmp_path / "precision_recall.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0] for line in curves} == {"$_$ (0)", "background (2)"}
    assert r"| a\|b | 1 |" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "names"), [("coco", {"ap", "ap50"}), ("voc07", {"voc07_ap"})])
def test_evaluation_prints_classes_and_measures_them(strategies, monkeypatch, protocol, names):
    monkeypatch.setattr(scenes, "SCENES", {"train": 2, "validation": 2, "test": 5})
    task = load_task(load_config(str(ROOT / "configs/detection/scenes.yaml"), ["eval.batch_size=4"]))
    tracked = []

    def track(batches, images, batch_size):
        tracked.append((images, batch_size))
        return batches

    evaluation = Evaluation(strategies[1], "test", protocol, (), track)
    evaluation.add(task, Answers(task, 5), "a")
    measured = evaluation.measured()
    assert tracked == [(5, 4)]
    assert names < set(measured)
    assert {name for name in measured if name.startswith("voc")} == {name for name in names if name.startswith("voc")}
    assert list(measured["classes"]) == list("0123456789")
    objects = np.concatenate([scenes.paint_scene("test", i).labels for i in range(5)])
    assert sum(each["objects"] + each["ignored"] for each in measured["classes"].values()) == len(objects)
    lines = list(evaluation.lines())
    heading = next(i for i, line in enumerate(lines) if line.startswith("class"))
    assert len(lines) == heading + 11
    for label, line in zip("0123456789", lines[heading + 1 :], strict=True):
        value = measured["classes"][label][max(names, key=len)]
        assert line.split()[0] == label
        assert value is None or f"{value:.4f}" in line


def test_evaluations_ask_for_max_detections():
    recipe = str(ROOT / "configs/detection/scenes.yaml")
    assert load_task(load_config(recipe)).max_detections == 20
    assert load_task(load_config(recipe, ["eval.max_detections=300"])).max_detections == 300
    with pytest.raises(ConfigError, match=r"eval\.max_detections"):
        load_config(recipe, ["eval.max_detections=0"])
