"""A loss that is NaN or explodes is detected; the run rolls back, or ends with a report (R10)."""

import json
import signal

import numpy as np
import pytest
from faults_rig import LONG, differences, train

from keras_resnet.runs.logs import read_metrics
from keras_resnet.training.divergence import find_divergence
from keras_resnet.weights.tensors import read_tensors

NAN = "training.fit:training_batches:after:14:nan"


def sums(loss, norm=1.0, images=4.0):
    return {"loss": loss * images, "images": images, "gradient_norm": norm}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([sums(2.0), sums(2.1)], None),
        ([sums(2.0), sums(float("nan")), sums(float("inf"))], 9),
        ([sums(2.0), sums(2.0), sums(2.0, norm=float("inf"))], 10),
        ([sums(19.0), sums(20.0), sums(20.9)], None),  # 10 times the first loss of 2 is not exceeded
        ([sums(19.0), sums(23.0), sums(20.0)], 9),
        ([sums(0.0, images=0.0), sums(2.0)], None),  # every image was left out
        ([], None),
    ],
)
def test_find_divergence_gives_the_first_diverged_step(steps, expected):
    found = find_divergence(steps, last=10, first_loss=2.0, max_loss_ratio=10.0)
    assert (found and found.step) == expected


def test_find_divergence_ignores_small_losses_and_a_missing_limit():
    assert find_divergence([sums(0.9)], last=1, first_loss=0.01, max_loss_ratio=10.0) is None
    assert find_divergence([sums(90.0)], last=1, first_loss=0.01, max_loss_ratio=None) is None


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory):
    """Returns a run whose 14th batch was NaN once."""
    folder = tmp_path_factory.mktemp("rolled_back") / "run"
    return folder, train(folder, fault_at=NAN)


@pytest.mark.slow
def test_diverged_run_rolls_back_and_lowers_the_learning_rate(rolled_back, whole_run, figure):
    folder, process = rolled_back
    assert process.returncode == 0, process.stderr
    warning = next(line for line in process.stderr.splitlines() if line.startswith("WARNING"))
    assert warning.startswith("WARNING: step 14: the loss is ")  # ReLU turns NaN into 0; the gradient shows it
    assert "at a learning rate of 0.0829673, the gradient's norm nan" in warning
    assert warning.endswith("going back to step 10, with the learning rate times 0.5 from there")
    (found,) = json.loads((folder / "divergences.json").read_text())
    assert (found["step"], found["gradient_norm"], found["rolled_back_to"]) == (14, "nan", 10)
    assert len(found["samples"]) == 64
    ours, theirs = read_metrics(folder / "metrics.jsonl"), read_metrics(whole_run / "metrics.jsonl")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for mine, whole in zip(ours, theirs, strict=True):
        if "train/learning_rate" in mine:
            factor = 1.0 if mine["step"] <= 10 else 0.5
            assert mine["train/learning_rate"] == pytest.approx(factor * whole["train/learning_rate"])
    assert json.loads((folder / "results.json").read_text())["rollbacks"] == 1
    figure("R10", "NaN at step 14 noticed at step 15, back to step 10 with half the rate, finished")


@pytest.mark.slow
def test_run_killed_during_rollback_ends_with_the_same_result(rolled_back, tmp_path):
    folder = tmp_path / "run"
    for when in ("before", "after") if LONG else ("after",):
        process = train(folder, fault_at=f"{NAN},training.divergence:Divergences.add:{when}:1:kill")
        assert process.returncode == -signal.SIGKILL
    process = train(folder)
    assert process.returncode == 0, process.stderr
    assert differences(rolled_back[0], folder) == []


@pytest.mark.slow
def test_run_that_diverges_after_three_rollbacks_exits_with_code_4(tmp_path, figure):
    folder = tmp_path / "run"
    process = train(folder, "--set=train.learning_rate=1e30", "--set=train.log_every=15")
    assert process.returncode == 4, process.stderr
    assert "Traceback" not in process.stderr
    line = process.stderr.splitlines()[-1]
    assert line.startswith("error: step ")
    assert f"after 3 rollbacks; {folder}/divergences.json names the images. Try train.warmup_steps" in line
    found = json.loads((folder / "divergences.json").read_text())
    assert [each["rolled_back_to"] for each in found] == [0, 0, 0, None]
    rates = [each["learning_rate"] for each in found]
    assert rates == sorted(rates, reverse=True)
    assert all(np.isfinite(list(line.values())).all() for line in read_metrics(folder / "metrics.jsonl"))
    for path in folder.rglob("*.safetensors"):
        assert all(np.isfinite(value).all() for value in read_tensors(str(path)).values()), path
    figure("R10", "a rate of 1e30: exit code 4 after 3 rollbacks, nothing of it kept")


@pytest.mark.skipif(not LONG, reason="one branch of what is tested above")
def test_run_with_on_divergence_stop_ends_without_rollback(tmp_path):
    process = train(tmp_path / "run", "--set=recovery.on_divergence=stop", fault_at=NAN)
    assert process.returncode == 4, process.stderr
    assert "after 0 rollbacks" in process.stderr.splitlines()[-1]
