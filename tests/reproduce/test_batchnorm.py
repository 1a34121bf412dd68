"""Tests drift, steps to learn and checks of `batchnorm` on runs with known numbers."""

import copy
import json
import math

import numpy as np
import pytest
from conftest import ROOT

from keras_resnet.reproduce import batchnorm
from keras_resnet.reproduce.batchnorm import FACTORS, NORMALIZATIONS, checks, drift, probed, rows, steps_to_learn
from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.report_page import write_page

SEEDS = (0, 1, 2)


def run(learns_at, moved=0.1, diverged=None):
    """Returns a run whose loss is 2 until `learns_at`, then 0.1; its median moves by `moved` in a width of 2."""
    steps = list(range(10, 301, 10))
    found = [
        {"percentiles": [[-1 + x, x, 1 + x]], "mean": 1e-6, "variance": 1e-5, "least_variance": 0.999}
        for x in (0.0, moved, 0.0)
    ]
    return {
        "steps": [0, 150, 300],
        "found": found,
        "loss": [steps, [0.1 if step >= learns_at else 2.0 for step in steps]],
        "diverged": diverged,
    }


@pytest.fixture
def runs():
    """Returns runs for which every claim holds."""
    learns_at = {("none", 1): 200, ("none", 5): math.inf, ("none", 30): math.inf}
    learns_at |= {("batch", 1): 100, ("batch", 5): 50, ("batch", 30): 150}
    return {
        (normalization, factor, seed): run(learns_at[normalization, factor], 0.5 if normalization == "none" else 0.1)
        for normalization in NORMALIZATIONS
        for factor in FACTORS
        for seed in SEEDS
    }


def test_steps_to_learn_known_losses():
    assert steps_to_learn(run(150)) == 150
    assert steps_to_learn(run(math.inf)) == math.inf


def test_drift_relative_to_distribution_width():
    """The median is 0, 0.5, 0 and the width is 2, so each move is a quarter of the width."""
    assert drift(run(150, moved=0.5)) == pytest.approx(0.25)
    assert drift(run(150, moved=0.0)) == 0


def test_batchnorm_checks_hold_on_expected_runs(runs):
    assert [check.holds for check in checks(runs, SEEDS)] == [True] * 5


SPOILED = {  # change in one seed -> number of the check that fails, kind of run, change
    "variance": (0, ("batch", 5, 1), lambda run: run["found"][1].update(variance=0.01)),
    "a dead channel": (0, ("batch", 5, 1), lambda run: run["found"][1].update(least_variance=0.0)),
    "mean": (0, ("batch", 5, 1), lambda run: run["found"][2].update(mean=0.01)),
    "slow": (1, ("batch", 1, 2), lambda run: run.update(loss=[[10], [2.0]])),
    "slow at 5": (2, ("batch", 5, 2), lambda run: run.update(loss=[[10], [2.0]])),
    "bare at 30": (3, ("none", 30, 0), lambda run: run.update(loss=[[10], [0.1]])),
    "drift": (4, ("batch", 1, 0), lambda run: run["found"][1].update(percentiles=[[8.0, 9.0, 10.0]])),
}


@pytest.mark.parametrize("name", SPOILED)
def test_batchnorm_check_fails_on_one_bad_seed(runs, name):
    number, kind, spoil = SPOILED[name]
    runs[kind] = copy.deepcopy(runs[kind])
    spoil(runs[kind])
    assert [check.holds for check in checks(runs, SEEDS)] == [i != number for i in range(5)]


def test_batchnorm_checks_fail_without_learning(runs):
    """At learning rate 0, losses and percentiles are constant; only the check of the statistics holds."""
    still = {kind: run(math.inf, moved=0.0) for kind in runs}
    assert [check.holds for check in checks(still, SEEDS)] == [True, False, False, False, False]
    assert {row["steps to a loss of 0.5"] for row in rows(still)} == {"never"}


def test_batchnorm_page_from_stored_answers(runs, tmp_path):
    """Builds the page from answer files in the workdir; the legend names the one run that diverged."""
    experiment = Experiment(CONFIG, str(tmp_path))
    runs["none", 30, 1] = run(math.inf, diverged=66) | {"loss": [[10, 20], [2.0, 4.0]]}
    (tmp_path / "measurements").mkdir()
    for kind, job in batchnorm.all_jobs(experiment).items():
        answer = copy.deepcopy(runs[kind])
        for found in answer["found"]:
            found["percentiles"] *= 3
        (tmp_path / "measurements" / experiment.answer_file(job).rpartition("/")[2]).write_text(json.dumps(answer))
    page = batchnorm.page(experiment)
    assert all(check.holds for check in page.checks)
    losses, _, sooner = page.plots[0].figure.axes
    assert [text.get_text() for text in losses.get_legend().texts] == ["1 x 0.01", "5 x 0.01", "30 x 0.01 (1 diverged)"]
    assert list(sooner.lines[0].get_ydata()) == [2, 2, 2]  # ratio of steps without and with normalization
    files = write_page(page, experiment, str(tmp_path / "report"))
    assert [path.rpartition("/")[2] for path in files if path.endswith(".png")] == [
        "batchnorm-convergence.png",
        "batchnorm-percentiles.png",
    ]


TINY = ("train.steps=4", "train.checkpoint_every=2", "train.eval_every=4", "train.log_every=2", "train.batch_size=16")
CONFIG = str(ROOT / "configs" / "evidence" / "digits.yaml")


@pytest.mark.slow
def test_batchnorm_probed_records_divergence(tmp_path):
    """Without normalization, learning rate 1e18 makes the loss NaN; the run ends and the experiment continues."""
    experiment = Experiment(CONFIG, str(tmp_path), (*TINY, "train.learning_rate=1e18"))
    run = probed(experiment, "none", 30, 0)
    assert run["diverged"] in (2, 3, 4)
    assert run["steps"][0] == 0
    assert not (tmp_path / "results.json").exists()


@pytest.mark.slow
def test_batchnorm_probed_on_real_run(tmp_path):
    experiment = Experiment(CONFIG, str(tmp_path), (*TINY, "train.learning_rate=0.1"))
    run = probed(experiment, "batch", 1, 0)
    assert run["steps"] == [0, 2, 4]
    assert all(found["mean"] < 1e-3 and found["variance"] < 1e-3 for found in run["found"])
    assert np.array(run["found"][0]["percentiles"]).shape == (64, 3)
    assert drift(run) > 0
