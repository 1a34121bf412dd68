"""A detector's run that is killed and resumed ends as an undisturbed one does: samples are functions of the seed."""

import json
import signal

import pytest
from conftest import run
from faults_rig import differences

FLAGS = ("--config=detection/scenes", "--set=train.steps=6", "--set=train.warmup_steps=0", "--set=train.log_every=2")
FLAGS += ("--set=train.eval_every=6", "--set=train.checkpoint_every=2", "--set=train.batch_size=4")


@pytest.mark.slow
def test_detector_killed_twice_resumes_bit_identical(tmp_path):
    process = run("train.py", *FLAGS, f"--workdir={tmp_path / 'whole'}")
    assert process.returncode == 0, process.stderr
    for point in ("runs.checkpoints:write_synced:before:9:kill", "runs.saver:Saver._write_weights:before:1:kill"):
        process = run("tests/faults/fault_at.py", point, *FLAGS, f"--workdir={tmp_path / 'killed'}")
        assert process.returncode == -signal.SIGKILL, process.stderr
    process = run("train.py", *FLAGS, f"--workdir={tmp_path / 'killed'}")
    assert process.returncode == 0, process.stderr
    assert "resuming from step" in (tmp_path / "killed" / "log.txt").read_text()
    assert differences(tmp_path / "whole", tmp_path / "killed") == []


@pytest.mark.slow
def test_detector_that_diverges_rolls_back(tmp_path):
    """Images of NaN have a loss and boxes of NaN; the run goes back to its last checkpoint and ends as usual."""
    folder = tmp_path / "run"
    point = "training.fit:training_batches:after:5:nan"
    process = run("tests/faults/fault_at.py", point, *FLAGS, f"--workdir={folder}")
    assert process.returncode == 0, process.stderr
    warning = next(line for line in process.stderr.splitlines() if line.startswith("WARNING: step"))
    assert warning.startswith("WARNING: step 5: the loss is ")
    assert warning.endswith("going back to step 4, with the learning rate times 0.5 from there")
    assert json.loads((folder / "results.json").read_text())["rollbacks"] == 1


@pytest.mark.slow
def test_detector_with_infinite_weights_exits_with_code_4(tmp_path):
    """Its proposals are not numbers, which no kernel may read as the index of a cell."""
    folder = tmp_path / "run"
    process = run("train.py", *FLAGS, "--set=train.learning_rate=1e30", f"--workdir={folder}")
    assert process.returncode == 4, process.stderr
    assert "Traceback" not in process.stderr
    assert "after 3 rollbacks" in process.stderr.splitlines()[-1]
