"""Tests predict and benchmark as a user types them."""

import csv
import io
import json
import os
import shutil

import matplotlib.image
import numpy as np
import pytest
from conftest import in_process, run


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Returns a folder of five digit images, named by their class."""
    folder = tmp_path_factory.mktemp("digits")
    assert run("-m", "keras_resnet", "sample-images", "digits", "--count=5", f"--output={folder}").returncode == 0
    return folder


@pytest.fixture(scope="module")
def bad_digits(digits, tmp_path_factory):
    """Returns a copy of `digits` with two unreadable images."""
    folder = tmp_path_factory.mktemp("bad") / "digits"
    shutil.copytree(digits, folder)
    (folder / "a bad one.png").write_text("no image")
    (folder / "test9.jpg").write_bytes(b"")
    return folder


def predict(*arguments):
    return run("-m", "keras_resnet", "predict", *arguments)


def test_predict_unreadable_images_get_error_lines(finished_export, bad_digits):
    process = predict(finished_export, bad_digits)
    assert process.returncode == 3
    assert process.stderr.splitlines()[-1] == ("error: 2 of 7 images have no prediction; see their lines")
    lines = process.stdout.splitlines()
    assert len(lines) == 7
    assert [line for line in lines if "error:" in line] == [lines[0], lines[6]]
    assert lines[6].endswith("  error: has 0 bytes")
    assert all(line.count(" 0.") == 3 for line in lines[1:6])


@pytest.mark.sampled("{export}/1")
@pytest.mark.parametrize("model", ["{run}", "{run}/weights/last.safetensors", "{export}/1", "{export}/litert/1.tflite"])
def test_predict_json_equals_csv_for_every_model_kind(finished_run, finished_export, bad_digits, model):
    """JSON and CSV have the same predictions for a run, a weight file, a SavedModel and a LiteRT file."""
    model = model.format(run=finished_run, export=finished_export)
    texts = {kind: predict(model, bad_digits, f"--format={kind}", "--top_k=2") for kind in ("json", "csv")}
    assert {process.returncode for process in texts.values()} == {3}
    entries = json.loads(texts["json"].stdout)
    assert ["error" in entry for entry in entries] == [True, False, False, False, False, False, True]
    expected = [
        [entry["image"], str(rank), str(each["class"]), each["label"], f"{each['score']:.6g}", ""]
        for entry in entries
        for rank, each in enumerate(entry.get("predictions", []), 1)
    ]
    rows = list(csv.reader(io.StringIO(texts["csv"].stdout)))
    assert rows[0] == ["image", "rank", "class", "label", "score", "error"]
    assert [row for row in rows[1:] if row[1]] == expected
    assert len(rows) == 1 + 5 * 2 + 2


@pytest.mark.slow
def test_predict_plot_with_grad_cam_is_colored(finished_run, digits, tmp_path):
    plain, heat = tmp_path / "plain.png", tmp_path / "heat.png"
    assert predict(finished_run, digits, f"--plot={plain}").returncode == 0
    process = predict(finished_run, digits, f"--plot={heat}", "--explain=grad_cam", "--format=json")
    assert process.returncode == 0, process.stderr
    assert len(json.loads(process.stdout)) == 5  # messages about the plot go to stderr
    pixels = [matplotlib.image.imread(path)[..., :3] for path in (plain, heat)]
    colorful = [(np.ptp(each[: len(each) // 2], axis=-1) > 0.1).mean() for each in pixels]
    assert colorful[0] < 0.01  # gray digits
    assert colorful[1] > 0.05


@pytest.mark.slow
def test_predict_plot_without_readable_images_not_drawn(finished_export, bad_digits, tmp_path):
    process = predict(finished_export, bad_digits / "test9.jpg", f"--plot={tmp_path}/a.png")
    assert process.returncode == 3
    assert "not drawn" in process.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["docs", "a.png"], "docs: contains no run, no exported SavedModel and no weights"),
        (["resnet5O", "a.png"], 'no file, folder or network "resnet5O"; did you mean "resnet50"'),
        (["resnet50", "a.png"], "resnet50: is a network without weights; name some, for example --weights="),
        (["{export}", "a.png", "--weights=x"], "--weights=x: is for the name of a network"),
        (["README.md", "a.png"], "README.md: "),
        (["resnet50", "a.png", "--weights=README.md"], "--weights: README.md: "),
        (["{export}", "a.png", "--format=xml"], '--format=xml: expected one of "table", "json", "csv"'),
        (["{export}", "a.png", "--top_k=0"], "--top_k=0"),
        (["{export}", "a.png", "--top_k=9"], "has 3 classes in an answer (export.top_k)"),
        (["{run}", "a.png", "--top_k=11"], "has 10 classes"),
        (["{run}", "a.png", "--checkpoint=bset"], '--checkpoint=bset: expected "best", "last" or a step'),
        (["{run}", "a.png", "--explain=lime", "--plot=a.png"], '--explain=lime: expected "grad_cam"'),
        (["{run}", "a.png", "--explain=grad_cam"], "--explain=grad_cam: needs --plot=FILE.png"),
        (["{export}", "a.png", "--explain=grad_cam", "--plot=a.png"], "which exports do not have"),
        (["{export}", "a.png", "--plot=a.jpg"], "--plot=a.jpg: expected the name of a .png file"),
        (["{export}", "a.png", "--plot=none/a.png"], "there is no folder none"),
    ],
)
def test_predict_user_error_is_one_line(finished_run, finished_export, arguments, message):
    process = in_process(
        "-m", "keras_resnet", "predict", *(each.format(run=finished_run, export=finished_export) for each in arguments)
    )
    assert process.returncode == 2, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


@pytest.mark.parametrize("name", ["a.tflite", "a.onnx"])
def test_predict_invalid_model_file_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"TFL3 is not what this is")
    process = in_process("-m", "keras_resnet", "predict", tmp_path / name, "a.png")
    assert process.returncode == 2, process.stderr
    assert f"{name}: not a" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


def benchmark(*arguments):
    return run("-m", "keras_resnet", "benchmark", *arguments)


@pytest.mark.slow
def test_benchmark_keras_saved_model_and_litert(finished_run, finished_export, digits):
    models = [finished_run, finished_export, finished_export / "litert" / "1.tflite"]
    flags = ["--seconds=0.05", "--batch_sizes=1,4"]
    process = benchmark(*models, *flags, "--format=json", f"--images={digits}")
    assert process.returncode == 0, process.stderr
    rows = json.loads(process.stdout)["rows"]
    assert [(row["model"], row["batch_size"]) for row in rows] == [(str(m), size) for size in (1, 4) for m in models]
    assert [row["kind"] for row in rows[:3]] == ["keras", "saved_model", "litert"]
    for row in rows:
        assert row["top1_agreement"] == 1
        assert row["relative_error"] <= 1e-4
        assert 0 < row["median_ms"] <= row["p95_ms"]
        assert row["calls"] >= 10
    assert rows[0]["speed"] == rows[3]["speed"] == 1


@pytest.mark.slow
def test_benchmark_random_weights_and_different_classes(finished_export):
    flags = ["--seconds=0", "--batch_sizes=1"]
    process = benchmark("cifar_resnet20", "cifar_plain20", finished_export, *flags, "--format=csv")
    assert process.returncode == 0, process.stderr
    rows = list(csv.DictReader(io.StringIO(process.stdout)))
    assert [row["model"] for row in rows] == ["cifar_resnet20", "cifar_plain20", str(finished_export)]
    assert float(rows[1]["relative_error"]) > 0.01  # other weights
    table = benchmark("cifar_resnet20", *flags).stdout.splitlines()
    assert table[0].split()[:3] == ["model", "kind", "batch"]
    assert table[1].split()[:3] == ["cifar_resnet20", "keras", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "expected models"),
        (["resnet18", "--batch_sizes=0"], 2, "--batch_sizes=0: expected whole numbers >= 1"),
        (["resnet18", "--format=xml"], 2, '--format=xml: expected one of "table", "json", "csv"'),
        (["resnet18", "nothing"], 2, 'no file, folder or network "nothing"'),
        (
            ["cifar_resnet20", "--images=README.md"],
            3,
            "--images: README.md: is not a JPEG, PNG, BMP, GIF, WebP, AVIF or TIFF",
        ),
        (["cifar_resnet20", "--images=none.png"], 3, "--images: none.png: cannot be read"),
    ],
)
def test_benchmark_user_error_is_one_line(arguments, code, message):
    process = benchmark(*arguments)
    assert process.returncode == code, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
