"""Tests keras-resnet commands as a user types them."""

import json
import os
import re
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
from conftest import ROOT, in_process

from keras_resnet.commands.entry import COMMANDS, call
from keras_resnet.specs import SPECS


def test_help_lists_every_command(cli):
    printed = cli("-m", "keras_resnet", "--help").stdout
    modules = (ROOT / "keras_resnet/commands").glob("*.py")
    files = {path.stem.replace("_", "-") for path in modules if "\ndef main(options, arguments)" in path.read_text()}
    assert files == set(COMMANDS)
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", printed, re.M)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_each_command(name, capsys):
    assert call(name, ["--help"]) == 0
    assert f"keras-resnet {name}" in capsys.readouterr().out


def test_list_names_every_network():
    printed = in_process("-m", "keras_resnet", "list").stdout
    for name, spec in SPECS.items():
        assert re.search(rf"^{name} +{spec.layers} ", printed, re.M)


def test_list_never_cuts_names():
    printed = in_process("-m", "keras_resnet", "list", env={"COLUMNS": "60"}).stdout
    assert "cifar_preresnet1001" in printed


def test_summary_resnet50_equals_paper_table():
    """The summary equals He et al. 2015, table 1, column 50-layer: sizes, blocks, 3.8e9 MACs."""
    printed = in_process("-m", "keras_resnet", "summary", "resnet50").stdout
    for line in (
        "stem        112x112  7x7, 64, stride 2",
        "56x56  3x3 max pool, stride 2",
        "stage1        56x56  [1x1, 64 | 3x3, 64 | 1x1, 256] x 3",
        "stage2        28x28  [1x1, 128 | 3x3, 128 | 1x1, 512] x 4",
        "stage3        14x14  [1x1, 256 | 3x3, 256 | 1x1, 1024] x 6",
        "stage4          7x7  [1x1, 512 | 3x3, 512 | 1x1, 2048] x 3",
        "average pool, 1000-d dense, softmax",
        "25,557,032 parameters",
        "3,857,974,248 MACs",
    ):
        assert line in printed


def test_summary_plain_preactivation_network():
    process = in_process("-m", "keras_resnet", "summary", "plain18", "--version=2", "--image_size=64", "--classes=7")
    assert process.returncode == 0, process.stderr
    assert "version 2, no shortcuts" in process.stdout
    assert "7-d dense" in process.stdout


def test_evaluate_counts_the_test_split(finished_run, cli):
    process = cli("-m", "keras_resnet", "evaluate", finished_run, "--split=test", "--checkpoint=last")
    assert process.returncode == 0, process.stderr
    error, wrong = re.search(r"error +([\d.]+) % .*; (\d+) of 359 images wrong\)", process.stdout).groups()
    assert float(error) == pytest.approx(100 * int(wrong) / 359, abs=0.005)


@pytest.mark.slow
def test_evaluate_validation_error_equals_results(finished_run, cli):
    results = json.loads((finished_run / "results.json").read_text())
    printed = cli("-m", "keras_resnet", "evaluate", finished_run, "--checkpoint=last").stdout
    assert f"error       {results['validation']['error']:.2f} %" in printed


def test_sample_images_then_predict_with_plot(finished_export, cli, tmp_path):
    """Runs the last two commands of `make quickstart`."""
    pictures = tmp_path / "pictures"
    printed = cli("-m", "keras_resnet", "sample-images", "digits", "--count=5", f"--output={pictures}").stdout.split()
    assert len(printed) == 5
    assert {path[-5] for path in printed} == set("01234")  # named by their class
    assert matplotlib.image.imread(printed[0]).shape == (8, 8)
    drawn = tmp_path / "predictions.png"
    process = cli("-m", "keras_resnet", "predict", finished_export, *printed, f"--plot={drawn}")
    assert process.returncode == 0, process.stderr
    assert len(re.findall(r"\.png  \d 0\.\d+  \d 0\.\d+  \d 0\.\d+", process.stdout)) == 5
    assert len(np.unique(matplotlib.image.imread(drawn).reshape(-1, 4), axis=0)) > 10


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sumary", "resnet50"], 2, 'unknown command "sumary"; did you mean "summary"?'),
        (["summary"], 2, "expected one network"),
        (["summary", "resnet51"], 2, 'unknown network "resnet51"; did you mean "resnet50"'),
        (["summary", "resnet50", "--version=3"], 2, '--version: got "3"; expected one of "1", "1.5", "2"'),
        (["summary", "resnet50", "--shortcut=D"], 2, '--shortcut: got "D"; expected one of "A", "B", "C"'),
        (["summary", "plain34", "--shortcut=A"], 2, "plain34 has no shortcuts"),
        (["list", "more"], 2, 'unexpected argument "more"'),
        (["evaluate"], 2, "expected the folder of a run"),
        (["evaluate", "docs"], 2, "contains no run"),
        (["evaluate", "docs", "--checkpoint=bset"], 2, '--checkpoint=bset: expected "best", "last" or a step'),
        (["sample-images", "digits"], 2, "--output is missing"),
        (["sample-images", "digit", "--output=x"], 2, 'data.name: unknown name "digit"; did you mean "digits"?'),
        (["predict", "docs"], 2, "expected a model and images"),
        (["list", "--color"], 2, 'unknown flag "--color"; `keras-resnet list --help` shows the flags'),
    ],
)
def test_commands_user_error_is_one_line(tmp_path, arguments, code, message):
    process = in_process("-m", "keras_resnet", *arguments)
    assert process.returncode == code, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert not os.path.exists(ROOT / "x")


def test_command_closed_pipe_exits_without_traceback():
    """`... | true` prints no traceback."""
    command = f'"{sys.executable}" -m keras_resnet schema | true'
    process = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert process.stderr == ""
