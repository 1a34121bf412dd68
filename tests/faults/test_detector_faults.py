"""A detector's run that is killed and resumed ends as an undisturbed one does: samples are functions of the seed."""

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
