"""A run that is killed at any moment and resumed ends as an undisturbed one does (R1 to R3, R5, R6)."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from faults_rig import LONG, differences, train

from keras_resnet.config import load_config
from keras_resnet.runs.logs import read_metrics
from keras_resnet.weights.tensors import read_tensors

KILLS = 20 if LONG else 1
SECONDS = 6.0  # that a run takes, about

# Each row is one run that is killed at these points in turn and restarted after each.
WINDOWS = {
    "first checkpoint": [
        "runs.saver:Saver.self_check:before:1",
        "runs.checkpoints:write_synced:before:3",
        "runs.saver:Saver.self_check:after:1",
    ],
    "while saving": [
        "runs.checkpoints:write_synced:after:4",
        "runs.checkpoints:write_synced:after:6",
        "runs.saver:prune:before:2",
    ],
    "between files and commit": [
        "runs.checkpoints:write_synced:before:6",
        "runs.checkpoints:sync_folder:before:3",
        "runs.checkpoints:sync_folder:after:3",
    ],
    "in an evaluation": [
        "training.metrics:add:before:1",
        "training.metrics:add:before:2",
        "training.metrics:add:after:1",
    ],
    "at an epoch's end, twice in an epoch": [
        "training.fit:_Run._settle:before:21",
        "training.fit:_Run._settle:after:6",
        "training.fit:_Run._settle:after:6",
    ],
    "with the best weights": [
        "runs.saver:Saver._write_weights:before:1",
        "runs.saver:Saver._write_weights:after:2",
        "runs.saver:Saver._write_weights:before:1",
    ],
    "after the last step": [
        "runs.report:write_text:before:1",
        "runs.saver:Saver.save_weights:after:1",
        "runs.saver:Saver.save_weights:before:1",
    ],
    "between figures and checkpoint": [
        "runs.logs:MetricsLog.write:before:3",
        "runs.logs:MetricsLog.write:after:5",
        "runs.logs:MetricsLog.write:before:1",
    ],
}
SHORT = {"some of them": ["runs.checkpoints:write_synced:before:6", "runs.saver:Saver._write_weights:before:1"]}


@pytest.mark.skipif(not LONG, reason="the long form repeats it; the tests below need it to hold")
def test_repeated_run_is_bit_identical(whole_run, tmp_path, figure):
    for i in range(5):
        assert train(tmp_path / str(i)).returncode == 0
        assert differences(whole_run, tmp_path / str(i)) == []
    figure("R1", "5 of 5 equal")


@pytest.mark.slow
def test_run_killed_at_a_random_time_resumes_bit_identical(whole_run, tmp_path, figure):
    times, killed = random.Random(0), 0
    for i in range(KILLS):
        folder = tmp_path / str(i)
        # Between the first file of the run and about its usual end.
        process = train(folder, signals=[(folder / "config.yaml", times.uniform(0, SECONDS), signal.SIGKILL)])
        assert process.returncode in (0, -signal.SIGKILL), process.stderr
        killed += process.returncode != 0
        process = train(folder)
        assert process.returncode == 0, process.stderr
        assert differences(whole_run, folder) == []
    figure("R2", f"{KILLS} of {KILLS} bit-identical; {killed} had not ended before they were killed")


@pytest.mark.slow
@pytest.mark.parametrize(("window", "points"), (WINDOWS if LONG else SHORT).items())
def test_run_killed_at_critical_points_resumes_bit_identical(whole_run, tmp_path, figure, window, points):
    folder = tmp_path / "run"
    for point in points:
        assert train(folder, fault_at=f"{point}:kill").returncode == -signal.SIGKILL, point
    process = train(folder)
    assert process.returncode == 0, process.stderr
    assert differences(whole_run, folder) == []
    figure("R3", f"{window}: {len(points)} kills, bit-identical")


@pytest.mark.slow
def test_resume_with_another_log_every_gives_the_same_weights(whole_run, tmp_path):
    """Killed between two lines of metrics.jsonl and resumed with another log_every, a run counts each step once."""
    folder = tmp_path / "run"
    assert train(folder, fault_at="runs.logs:MetricsLog.write:after:9:kill").returncode == -signal.SIGKILL
    process = train(folder, "--set=train.log_every=7", "--set=train.keep_checkpoints=3")
    assert process.returncode == 0, process.stderr
    assert load_config(str(folder / "config.yaml")).train.log_every == 7
    for name in ("best", "last"):  # their strings hold the configuration
        one, other = (read_tensors(str(run / "weights" / f"{name}.safetensors")) for run in (folder, whole_run))
        assert all(one[each].tobytes() == other[each].tobytes() for each in one.keys() | other.keys())
    assert set(differences(whole_run, folder)) == {
        "metrics.jsonl",
        "weights/best.safetensors",
        "weights/last.safetensors",
    }
    lines, expected = (read_metrics(str(run / "metrics.jsonl")) for run in (folder, whole_run))
    assert validations(lines) == validations(expected)
    assert {35, 42, 48} <= {line["step"] for line in lines if "train/loss" in line}
    assert total(lines) == pytest.approx(total(expected), rel=1e-6)


def validations(lines):
    return [(line["step"], line["validation/loss"]) for line in lines if "validation/loss" in line]


def total(lines):
    """Returns the training loss summed over all steps, from the means in the lines."""
    means = [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]
    return sum(mean * (step - former) for (step, mean), (former, _) in zip(means, [(0, 0.0), *means], strict=False))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_a_checkpoint_and_ends_the_run(whole_run, tmp_path, figure, number):
    folder = tmp_path / "run"
    process = train(folder, signals=[(folder / "metrics.jsonl", 0, number)])
    assert process.returncode == 128 + number, process.stderr
    line = process.stderr.splitlines()[-1]
    assert line.startswith(f"stopped by {number.name}; step "), line
    step = int(line.split("step ")[1].split(" of 48")[0])
    assert (folder / "checkpoints" / f"step-{step:08d}").is_dir()
    process = train(folder)
    assert process.returncode == 0, process.stderr
    assert f"resuming from step {step}, to step 48" in (folder / "log.txt").read_text()
    assert differences(whole_run, folder) == []
    figure("R5", f"{number.name}: exit code {128 + number}, saved at step {step}, bit-identical after it")


def test_interrupt_while_tensorflow_loads_exits_with_code_130(tmp_path):
    """While TensorFlow loads, Python's KeyboardInterrupt becomes an ImportError."""
    command = [sys.executable, "train.py", f"--workdir={tmp_path / 'run'}"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while "tensorflow" not in pathlib.Path(f"/proc/{process.pid}/maps").read_text():
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "interrupted\n")


@pytest.mark.skipif(not LONG, reason="tests/runs/test_state.py has the counting")
def test_early_stopping_resumes_bit_identical(tmp_path, figure):
    """A learning rate that is far too high makes evaluations worse."""
    flags = ["--set=train.early_stopping_patience=2", "--set=train.learning_rate=5", "--set=train.eval_every=4"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(whole, *flags).returncode == 0
    results = json.loads((whole / "results.json").read_text())
    assert results["steps"] == results["best"]["step"] + 8 < 48
    for point in ("runs.logs:MetricsLog.write:after:4", "runs.report:write_text:before:1"):
        assert train(killed, *flags, fault_at=f"{point}:kill").returncode == -signal.SIGKILL
    assert train(killed, *flags).returncode == 0
    assert differences(whole, killed) == []
    figure("R3", f"early stopping at step {results['steps']}: 2 kills, bit-identical")


@pytest.mark.slow
def test_second_interrupt_ends_the_run_immediately(tmp_path):
    """It also ends the run while TensorFlow traces the first step, which takes longer than a user waits."""
    folder = tmp_path / "run"
    twice = [(folder / "examples.png", 0.5, signal.SIGINT), (None, 0.2, signal.SIGINT)]
    assert train(folder, "--set=model.name=cifar_resnet110", signals=twice).returncode == -signal.SIGINT
    assert not (folder / "metrics.jsonl").read_text()


# What timm's and torchvision's recipes have, on gray images of 8x8 pixels.
OF_RECIPES = {
    "timm": [
        *("train.optimizer=lamb", "train.learning_rate=0.01", "train.loss=binary_cross_entropy"),
        *("train.target_threshold=0.2", "data.randaugment_num_ops=2", "data.randaugment_operations=timm"),
        *("data.randaugment_magnitude_std=0.5", "data.repeated_augmentation=3", "data.mixup=0.2", "data.cutmix=1.0"),
        *("data.mixing=batch", "data.image_size=16", "data.train_image_size=8"),
    ],
    "torchvision": [
        *("data.auto_augment=trivial_augment_wide", "data.repeated_augmentation=4", "data.mixup=0.2"),
        *("data.mixing=sample", "train.ema_every=4", "train.warmup_steps=9", "train.warmup_start_factor=0.01"),
    ],
    "augmix": ["data.auto_augment=augmix", "train.loss=focal", "train.focal_gamma=1.5", "train.warmup_steps=2"],
    "sam": ["train.sam_rho=0.1", "train.gradient_accumulation_steps=2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_RECIPES)
def test_run_with_parts_of_later_recipes_killed_and_resumed_is_bit_identical(tmp_path, name):
    flags = [f"--set={assignment}" for assignment in [*OF_RECIPES[name], "train.steps=12"]]
    process = train(tmp_path / "whole", *flags)
    assert process.returncode == 0, process.stderr
    point = "runs.checkpoints:write_synced:before:6:kill"
    assert train(tmp_path / "killed", *flags, fault_at=point).returncode == -signal.SIGKILL
    assert train(tmp_path / "killed", *flags).returncode == 0
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
