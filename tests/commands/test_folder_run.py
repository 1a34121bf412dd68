"""Tests commands on a folder of real JPEGs: training, evaluation, export, and errors of damaged folders."""

import json
import os
import pathlib
import random
import re
import shutil

import pytest

TRAIN = (
    "model.name=cifar_resnet8",
    "data.image_size=32",
    "data.crop=random_resized",
    "data.area_range=[0.3,1.0]",
    "data.validation_fraction=0.1",
    "data.test_fraction=0.3",
    "train.epochs=null",
    "train.steps=60",
    "train.batch_size=16",
    "train.learning_rate=0.03",
    "train.warmup_steps=0",
    "train.log_every=20",
    "train.eval_every=60",
    "eval.batch_size=16",
)
CONFIG = "--config=configs/folder/scratch.yaml"


def flags(folder, *more):
    return [CONFIG, f"--set=data.name=folder:{folder}", *[f"--set={assignment}" for assignment in (*TRAIN, *more)]]


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    from conftest import run

    folder = tmp_path_factory.mktemp("folder") / "run"
    process = run("train.py", *flags(photographs), f"--workdir={folder}")
    assert process.returncode == 0, process.stderr
    return folder


def test_error(folder, cli, tmp_path):
    report = tmp_path / "report"
    process = cli("-m", "keras_resnet", "evaluate", folder, "--split=test", f"--report={report}")
    assert process.returncode == 0, process.stderr
    return json.loads((report / "evaluation.json").read_text())["error"], report


test_error.__test__ = False  # a helper


@pytest.mark.slow
def test_train_folder_run_separates_two_classes(run, cli, tmp_path):
    error, report = test_error(run, cli, tmp_path)
    assert error["images"] == 36
    assert error["percent"] < 15
    assert {"evaluation.json", "classes.csv", "confusion.png"} <= set(os.listdir(report))
    assert (run / "examples.png").stat().st_size > 10_000
    card = (run / "README.md").read_text()
    assert "72 train, 12 validation, 36 test, 2 classes" in card.replace("Images: ", "")
    assert "cifar_resnet8 on folder:" in card


@pytest.mark.slow
def test_train_shuffled_labels_stay_near_chance(photographs, cli, tmp_path):
    """The same images have random classes, so predictions of the test images are near chance."""
    files = sorted(photographs.glob("*/*"))
    labels = [i % 2 for i in range(len(files))]
    random.Random(0).shuffle(labels)
    for i, (file, label) in enumerate(zip(files, labels, strict=True)):
        (tmp_path / "shuffled" / "ab"[label]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "shuffled" / "ab"[label] / f"{i}{file.suffix}")
    process = cli("train.py", *flags(tmp_path / "shuffled"), f"--workdir={tmp_path / 'run'}")
    assert process.returncode == 0, process.stderr
    error, _ = test_error(tmp_path / "run", cli, tmp_path)
    assert error["high"] > 50
    assert error["percent"] > 25


@pytest.mark.slow
def test_export_folder_run_then_predict(run, photographs, cli, tmp_path):
    process = cli("export.py", f"--workdir={run}", f"--output={tmp_path / 'models'}")
    assert process.returncode == 0, process.stderr
    picture = next((photographs / "china").iterdir())
    process = cli("-m", "keras_resnet", "predict", tmp_path / "models", picture)
    assert process.returncode == 0, process.stderr
    assert "china" in process.stdout


@pytest.mark.slow
def test_train_summary_counts_classes_and_skipped_files(photographs, cli, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(photographs, folder)
    hidden = folder / "china" / ".ipynb_checkpoints"
    hidden.mkdir()
    copied = [shutil.copy(file, hidden) for file in sorted((folder / "china").glob("no*"))[:5]]
    (folder / "a flower" / "list.txt").write_text("x")
    process = cli("train.py", *flags(folder, "train.steps=1", "train.eval_every=1"), f"--workdir={tmp_path / 'run'}")
    assert process.returncode == 0, process.stderr
    lines = {line.split()[0]: line.split(maxsplit=1)[-1] for line in process.stdout.splitlines() if line.split()}
    assert len(copied) == 5
    assert lines["classes"] == "a flower 60, china 60"
    assert "hidden folder .ipynb_checkpoints: 5; .txt: 1" in process.stdout


@pytest.fixture
def damaged(photographs, tmp_path):
    """Returns the folder with one truncated JPEG, and the path of that JPEG."""
    shutil.copytree(photographs, tmp_path / "images")
    broken = sorted((tmp_path / "images" / "china").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:500])
    return tmp_path / "images", broken


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [4, 60])  # late in the run, and among the first images
def test_train_unreadable_image_stops_run_and_names_path(damaged, cli, tmp_path, batch_size):
    folder, broken = damaged
    more = ("data.validation_fraction=0.0", "data.test_fraction=0.0", f"train.batch_size={batch_size}")
    process = cli("train.py", *flags(folder, *more), f"--workdir={tmp_path / 'run'}")
    assert process.returncode == 3
    # Not the last line: a decoding thread may still print a libjpeg message after it.
    assert f"\nerror: {broken}: is a truncated or damaged JPEG" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_train_unreadable_image_skipped_and_logged(damaged, cli, tmp_path):
    folder, broken = damaged
    more = ("data.validation_fraction=0.0", "data.test_fraction=0.0", "data.on_unreadable_image=skip", "train.steps=10")
    process = cli("train.py", *flags(folder, *more, "train.eval_every=10"), f"--workdir={tmp_path / 'run'}")
    assert process.returncode == 0, process.stderr
    assert process.stderr.count(f"skipped: {broken}: is a truncated or damaged JPEG") == 1
    assert json.loads((tmp_path / "run" / "results.json").read_text())["skipped"] == 1
    process = cli("-m", "keras_resnet", "evaluate", tmp_path / "run", "--split=train")
    assert "of 119 images wrong" in process.stdout
    assert "1 unreadable images are skipped" in process.stdout
    more = (*more, "data.max_skipped=0", "train.eval_every=10")
    process = cli("train.py", *flags(folder, *more), f"--workdir={tmp_path / 'other'}")
    assert process.returncode == 3
    assert "more than data.max_skipped: 0" in process.stderr


@pytest.mark.slow
def test_train_fine_tuning_replaces_classifier(run, finished_run, photographs, cli, tmp_path):
    """Fine-tunes the two-class network on three classes; weights of gray images are refused for color images."""
    weights = run / "weights" / "best.safetensors"
    more = (f"model.weights={weights}", "train.freeze_at=stage2", "train.layer_decay=0.5", "train.steps=2")
    pictures = tmp_path / "pictures"
    for i, file in enumerate(sorted(photographs.glob("*/*"))[::6]):
        (pictures / "abc"[i % 3]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, pictures / "abc"[i % 3])
    process = cli("train.py", *flags(pictures, *more), f"--workdir={tmp_path / 'run'}")
    assert process.returncode == 0, process.stderr
    assert "with a new classifier of 3 classes" in process.stdout
    assert re.search(r"trains +[\d,]+ of [\d,]+ parameters", process.stdout)
    gray = pathlib.Path(finished_run) / "weights" / "best.safetensors"
    more = ("model.name=cifar_resnet20", f"model.weights={gray}")
    process = cli("train.py", *flags(pictures, *more), f"--workdir={tmp_path / 'gray'}")
    assert process.returncode == 2
    assert "takes 1 channels, which cannot become 3" in process.stderr


@pytest.mark.slow
def test_train_wandb_logs_metrics(photographs, cli, tmp_path):
    """Uses the real wandb package, offline."""
    more = ("train.wandb_project=tests", "train.steps=4", "train.eval_every=2", "train.log_every=2")
    environment = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    process = cli("train.py", *flags(photographs, *more), f"--workdir={tmp_path / 'run'}", env=environment)
    assert process.returncode == 0, process.stderr
    stored = list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(stored) == 1
    assert b"train/loss" in stored[0].read_bytes()
