"""Tests `tune` as a user types it."""

import csv
import re
import shlex

import pytest
from conftest import in_process


@pytest.mark.slow
def test_tune_suggests_both_and_prints_a_command_that_trains(cli, tmp_path):
    output = tmp_path / "tuning"
    process = cli(
        "-m",
        "keras_resnet",
        *(
            "tune",
            "digits/resnet20",
            "--for=learning_rate,batch_size",
            "--batch_sizes=16,32",
            "--steps=120",
            "--rates=1e-4,2",
        ),
        *("--set", "train.weight_decay=0.001", f"--output={output}"),
    )
    assert process.returncode == 0, process.stderr
    size = re.search(r"^  suggestion  (\d+), the smallest", process.stdout, re.M)[1]
    rate = re.search(r"^  learning rate  ([\d.e-]+), a tenth", process.stdout, re.M)[1]
    assert size in ("16", "32")
    assert 1e-4 < float(rate) < 1
    assert {path.name for path in output.iterdir()} == {
        "batch_size.csv",
        "batch_size.png",
        "learning_rate.csv",
        "learning_rate.png",
    }
    with open(output / "learning_rate.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["learning_rate"]) == 1e-4
    assert "learning rate 9" not in process.stdout  # progress goes to stderr
    command = shlex.split(process.stdout.rpartition("Next: keras-resnet ")[2])
    assert command[:2] == ["train", "--config=digits/resnet20"]
    assert f"train.batch_size={size}" in command
    process = cli("-m", "keras_resnet", *command, "--print_config")
    assert process.returncode == 0, process.stderr
    assert re.search(rf"^  learning_rate: {rate}$", process.stdout, re.M)
    assert re.search(r"^  weight_decay: 0.001$", process.stdout, re.M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one recipe, file or run"),
        (["digits/resnet20", "--for=momentum"], '--for: unknown for "momentum"; expected one of'),
        (["digits/resnet20", "--rates=1,0.1"], "--rates=1,0.1: expected two growing numbers > 0, such as 1e-5,10"),
        (["digits/resnet20", "--batch_sizes=8,x"], "--batch_sizes=8,x: expected whole numbers > 0"),
        (["digits/resnet20", "--strategy=multi_worker"], "--strategy=multi_worker: tune runs on one machine"),
        (["digits/resnet200"], "--config=digits/resnet200: no such file or recipe"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    process = in_process("tune", *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert process.stderr.count("\n") == 1
