"""Tests keras-resnet reproduce gradients, batchnorm, responses, detection and localization on runs of a few steps."""

import csv
import os
import re

import pytest
from conftest import run

TINY = ("train.steps=4", "train.log_every=2", "train.eval_every=4", "train.checkpoint_every=2", "train.batch_size=16")
ORDERINGS = ["--depths=20", "--seeds=0", *[f"--set={each}" for each in TINY], "--set=train.learning_rate=0"]


def verdicts(folder, name, *more):
    """Returns (exit code, whether each check holds) of a finding; asserts that its page and plots exist."""
    process = run("-m", "keras_resnet", "reproduce", name, f"--workdir={folder}", *ORDERINGS, *more, timeout=1200)
    assert process.returncode in (0, 1), process.stderr
    assert "Traceback" not in process.stderr, process.stderr
    text = (folder / "report" / f"{name}.md").read_text()
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+\.png)\)", text)
    assert pictures
    assert all((folder / "report" / picture).stat().st_size > 10_000 for picture in pictures)
    found = re.findall(r"^  (holds|DOES NOT HOLD) ", process.stdout, re.MULTILINE)
    assert text.count("| **no** |") == found.count("DOES NOT HOLD")
    return process.returncode, [each == "holds" for each in found]


@pytest.mark.slow
def test_reproduce_responses_learning_rate_0(tmp_path):
    assert verdicts(tmp_path, "responses") == (1, [False])
    with open(tmp_path / "report/responses.csv", encoding="utf-8", newline="") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert {row["layers"] for row in rows.values()} == {"19"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_reproduce_batchnorm_learning_rate_0(tmp_path):
    """Only the check of the statistics holds without learning."""
    assert verdicts(tmp_path, "batchnorm") == (1, [True, False, False, False, False])


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_reproduce_gradients_learning_rate_0(tmp_path):
    """The checks of training do not hold; the checks of fresh networks of 20 layers may hold."""
    code, found = verdicts(tmp_path, "gradients")
    assert code == 1
    assert len(found) == 9
    assert found[7:] == [False, False]


@pytest.mark.slow
@pytest.mark.timeout(2500)
def test_reproduce_detection_learning_rate_0(tmp_path):
    """Two seeds, which have an ensemble; a second command trains and measures nothing again."""
    more = ("--set=train.warmup_steps=0", "--seeds=0,1")
    assert verdicts(tmp_path, "detection", *more) == (1, [False] * 10)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("scene_*/*")}
    with open(tmp_path / "report/detection.csv", encoding="utf-8", newline="") as file:
        rows = {row["tested"]: row for row in csv.DictReader(file)}
    assert rows["+ ensemble of the seeds"]["its AP (%)"] == "37.4"
    assert float(rows["ResNet trunk, FPN"]["AP (%)"]) < 10
    assert verdicts(tmp_path, "detection", *more) == (1, [False] * 10)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("scene_*/*")} == before


@pytest.mark.slow
@pytest.mark.skipif("SLOW_MINUTES" in os.environ, reason="its dense tests take a quarter of an hour on two cores")
@pytest.mark.timeout(1500)
def test_reproduce_localization_learning_rate_0(tmp_path):
    assert verdicts(tmp_path, "localization", "--set=train.warmup_steps=0") == (1, [False] * 6)
