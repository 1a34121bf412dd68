"""Tests norms of fresh networks, whose ratios are computed by hand, and of networks in training."""

import pathlib
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.signal_propagation import INITIALIZATIONS, initial, initial_norms, norms_in_training
from keras_resnet.reproduce.worker import from_json, to_json
from keras_resnet.runs.checkpoints import read_checkpoint, save_checkpoint

CONFIG = str(ROOT / "configs" / "evidence" / "digits.yaml")
TINY = ("train.steps=4", "train.checkpoint_every=2", "train.eval_every=4", "train.log_every=2", "train.batch_size=16")


@pytest.fixture(scope="module")
def bare():
    """Returns norms of plain ReLU networks of 8 layers without normalization."""
    return initial_norms(Experiment(CONFIG, "unused"), "plain", "none", "relu", [8], 0)


@pytest.mark.slow
def test_initial_norms_activations_scale_with_weights(bare):
    """Biases are 0 and ReLU keeps factors, so halving the kernels scales the input of layer k by 2^-k."""
    small, he, large = (np.array(bare[name]["8"]["activation"]) for name in ("small", "he", "large"))
    halvings = np.arange(7) * np.log10(2)
    np.testing.assert_allclose(he - small, halvings, atol=1e-3)
    np.testing.assert_allclose(large - he, halvings, atol=1e-3)


@pytest.mark.slow
def test_initial_norms_gradients_scale_with_weights(bare):
    """From layer k + 1 to k the gradient passes one more kernel; at the last layer only the logits differ slightly."""
    for low, high in (("small", "he"), ("he", "large")):
        low, high = (np.array(bare[name]["8"]["gradient"]) for name in (low, high))
        relative = (high - high[-1]) - (low - low[-1])
        np.testing.assert_allclose(relative, np.arange(6, -1, -1) * np.log10(2), atol=0.02)


@pytest.mark.slow
def test_initial_norms_batch_norm_removes_weight_scale():
    normed = initial_norms(Experiment(CONFIG, "unused"), "residual", "batch", "relu", [8], 0)
    assert list(normed) == list(INITIALIZATIONS)
    large, small = (np.array(normed[name]["8"]["activation"]) for name in ("large", "small"))
    np.testing.assert_allclose(large, small, atol=1e-2)


def test_log_clips_values_outside_float32():
    from keras_resnet.reproduce.signal_propagation import _log

    assert [_log(value) for value in (0.0, np.inf, np.nan, 100.0)] == [-45, 39, 39, 2]


def test_measurement_json_round_trip_keeps_answer_file(tmp_path):
    """The process that measures and the one that reads the answer use the same file name."""
    experiment, job = Experiment(CONFIG, str(tmp_path)), initial("plain", "none", "relu", (8, 20), 0)
    assert experiment.answer_file(from_json(to_json(job))) == experiment.answer_file(job)
    assert {job: 1}  # as the runner keeps them


def _leave_a_checkpoint(experiment, step):
    """Leaves a checkpoint at `step`, as a process does that a signal stops."""
    (folder,) = pathlib.Path(experiment.workdir).glob("cifar_plain20-*/checkpoints")
    last = read_checkpoint(str(folder / "step-00000004"))
    save_checkpoint(str(folder), replace(last, step=step))


@pytest.mark.slow
def test_norms_in_training_learning_rate_0_keeps_norms(tmp_path):
    """At learning rate 0 all measurements equal the first; at 0.1 they differ."""
    found = {}
    for rate in ("0", "0.1"):
        experiment = Experiment(CONFIG, str(tmp_path), (*TINY, f"train.learning_rate={rate}"))
        run = norms_in_training(experiment, "plain", 20, "batch", 0)
        assert run["steps"] == [0, 2, 4]
        assert run["diverged"] is None
        assert run["loss"][0] == [2, 4]
        if rate == "0":
            _leave_a_checkpoint(experiment, 3)
            assert norms_in_training(experiment, "plain", 20, "batch", 0) == run
        found[rate] = [np.array(each["gradient"]) for each in run["found"]]
        assert all(len(each) == 19 for each in found[rate])
    np.testing.assert_array_equal(found["0"][0], found["0"][2])
    np.testing.assert_array_equal(found["0"][0], found["0.1"][0])
    assert np.abs(found["0.1"][2] - found["0.1"][0]).max() > 0.01
