"""A run on images with zero to three shapes: better than a constant answer, resumed with its bits, exported."""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_resnet.commands import entry
from keras_resnet.commands.models import open_model
from keras_resnet.commands.runs import load_run
from keras_resnet.config.multilabel import MultilabelConfig
from keras_resnet.data.pipeline import training_batches
from keras_resnet.runs.folder import RunFolder
from keras_resnet.task import load_task
from keras_resnet.training.fit import fit
from keras_resnet.training.metrics import Evaluator
from keras_resnet.training.optimizer import build_optimizer, prepare
from keras_resnet.training.steps import make_train_step
from keras_resnet.weights.tensors import read_metadata, read_tensors

SHAPES = ("circle", "cross", "square")
pytestmark = pytest.mark.slow


def draw(path, shapes, random):
    image = Image.fromarray(random.randint(0, 60, (24, 24, 3)).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for shape in shapes:
        (x, y), side = random.randint(1, 13, 2), random.randint(7, 10)
        color, box = tuple(random.randint(120, 256, 3).tolist()), (x, y, x + side, y + side)
        if shape == "circle":
            pen.ellipse(box, fill=color)
        elif shape == "square":
            pen.rectangle(box, fill=color)
        else:
            pen.line(box, fill=color, width=2)
            pen.line((x, y + side, x + side, y), fill=color, width=2)
    image.save(path)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Returns the CSV of 600 images."""
    folder, random = tmp_path_factory.mktemp("shapes"), np.random.RandomState(0)
    with open(folder / "labels.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "labels", "split"])
        for i in range(600):
            chosen = [shape for shape in SHAPES if random.rand() < 0.4]
            draw(folder / f"{i}.png", chosen, random)
            rows.writerow([f"{i}.png", "|".join(chosen), "train" if i < 400 else "val" if i < 500 else "test"])
    return folder / "labels.csv"


def train(path, workdir, strategy):
    values = {
        "model": {"name": "cifar_resnet8"},
        "data": {"name": f"csv:{path}", "image_size": 24, "horizontal_flip": True},
        "train": {
            "steps": 90,
            "batch_size": 32,
            "learning_rate": 0.05,
            "schedule": "cosine",
            "class_weights": "balanced",
        },
        "eval": {"batch_size": 32},
    }
    values["train"] |= {"eval_every": 30, "keep_checkpoints": 4}
    task, run = load_task(MultilabelConfig.model_validate(values)), RunFolder(str(workdir))
    run.claim(task.config, task.description)
    return run, fit(task, strategy, run)


@pytest.fixture(scope="module")
def trained(shapes, strategies, tmp_path_factory):
    return train(shapes, tmp_path_factory.mktemp("multilabel") / "run", strategies[2])


def test_map_of_a_run_is_above_that_of_a_constant_answer(trained, tmp_path, capsys):
    run, results = trained
    assert results["best"]["validation"]["map"] > 0.55
    entry.call("evaluate", [run.path, "--split=test", f"--report={tmp_path}"])
    measured = json.loads((tmp_path / "evaluation.json").read_text())
    printed = capsys.readouterr().out
    constant = float(printed.partition("constant answer is ")[2].split()[0])
    assert 0.3 < constant < 0.5
    assert measured["map"] > constant + 0.1
    rows = list(csv.DictReader((tmp_path / "classes.csv").open(encoding="utf-8")))
    assert [row["class"] for row in rows] == list(SHAPES)
    thresholds = load_run(run.path).description.thresholds
    assert [float(row["threshold"]) for row in rows] == pytest.approx(thresholds, rel=1e-6)
    card = pathlib.Path(run.card).read_text(encoding="utf-8")
    assert f"Thresholds of the best weights: circle {thresholds[0]:.3f}, cross {thresholds[1]:.3f}, " in card
    assert "| validation mAP | " in card
    assert (tmp_path / "classes.png").stat().st_size > 1000


def test_evaluation_of_the_validation_split_is_that_of_the_run(trained, tmp_path):
    run, results = trained
    entry.call("evaluate", [run.path, f"--report={tmp_path}"])
    measured = json.loads((tmp_path / "evaluation.json").read_text())
    for name, value in results["best"]["validation"].items():
        assert measured[name] == pytest.approx(value, abs=2e-3), name


def test_resumed_run_has_the_same_weights_and_thresholds(trained, shapes, strategies, tmp_path):
    run, _ = trained
    shutil.copytree(run.path, tmp_path / "run")
    for step in (60, 90):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step-{step:08d}")
    (tmp_path / "run" / "results.json").unlink()
    for file in (tmp_path / "run" / "weights").iterdir():
        file.unlink()
    resumed, _ = train(shapes, tmp_path / "run", strategies[2])
    assert "resuming from step 30" in (tmp_path / "run" / "log.txt").read_text()
    for path, again in ((run.last_weights, resumed.last_weights), (run.best_weights, resumed.best_weights)):
        whole, repeated = read_tensors(path), read_tensors(again)
        assert whole.keys() == repeated.keys()
        assert all(np.array_equal(whole[name], repeated[name]) for name in whole)
        assert read_metadata(path)["thresholds"] == read_metadata(again)["thresholds"]


def test_exports_answer_with_the_labels_of_the_run(trained, shapes, tmp_path):
    run, _ = trained
    entry.call("export", [f"--workdir={run.path}", f"--output={tmp_path}", "--formats=saved_model,litert,onnx"])
    contents = [(shapes.parent / f"{i}.png").read_bytes() for i in range(500, 530)]
    expected = open_model(run.path).answer(contents, 3)
    assert {len(each.labels) for each in expected} >= {1, 2}
    for name in ("", "litert/1.tflite", "litert/1-batch1.tflite", "onnx/1.onnx"):
        found = open_model(str(tmp_path / name)).answer(contents, 3)
        assert [each.labels for each in found] == [each.labels for each in expected], name
        scores = [score for each in found for score in each.scores]
        np.testing.assert_allclose(scores, [score for each in expected for score in each.scores], atol=1e-4)
    weights = open_model(run.best_weights).answer(contents, 3)
    assert [each.labels for each in weights] == [each.labels for each in expected]


def test_two_replicas_train_and_evaluate_as_one(trained, shapes, strategies):
    """From the same weights, with fixed moving statistics: batch normalization would have a replica's own."""
    run, _ = trained
    sums, metrics = [], []
    for strategy in (strategies[1], strategies[2]):
        task = load_task(run.read_config(), load_run(run.path).description)
        with strategy.scope():
            model = load_run(run.path).model
            prepare(model, task.config.train.model_copy(update={"batch_norm": "frozen"}))
            optimizer = build_optimizer(task.config.train, model.trainable_variables)
        metrics.append(Evaluator(task, model, strategy)("test"))
        step, batches = make_train_step(task, model, optimizer, strategy), training_batches(task, strategy, 0)
        sums += [{name: float(value) for name, value in step(next(batches)).items()} for _ in range(3)]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-6)
    for one, two in zip(sums[:3], sums[3:], strict=True):
        assert one == pytest.approx(two, rel=1e-4)
