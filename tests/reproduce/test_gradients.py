"""Tests the checks of `gradients` on norms with known decades."""

import itertools
import json
import math

import pytest

from keras_resnet.reproduce import gradients
from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.gradients import (
    ACTIVATIONS,
    FAMILIES,
    NORMALIZATIONS,
    decades,
    initial_checks,
    initial_rows,
    losses,
    trained_checks,
    trained_rows,
)
from keras_resnet.reproduce.report_page import write_page
from keras_resnet.reproduce.signal_propagation import INITIALIZATIONS, TRAINED

DEPTHS = (8, 20, 110)


def norms(slope, layers):
    """Returns log10 norms: gradients grow by `slope` decades per layer backward, activations are constant."""
    gradient = [-slope * i for i in range(layers)]
    return {"activation": [0.0] * layers, "gradient": gradient, "kernel": gradient}


@pytest.fixture
def fresh():
    """Returns norms for which every claim holds; a slope is the change of the gradient per layer, in decades."""
    bare = {"small": -0.3, "xavier": -0.15, "he": 0.01, "large": 0.3}
    slopes = {("none", "relu"): bare, ("none", "sigmoid"): {name: -1 + x for name, x in bare.items()}}
    slopes |= {("batch", each): dict.fromkeys(INITIALIZATIONS, 0.02) for each in ACTIVATIONS}
    return {
        (family, normalization, activation): {
            name: {str(d): norms(slope / (1 + (family == "residual")), d - 1) for d in DEPTHS}
            for name, slope in slopes[normalization, activation].items()
        }
        for family, normalization, activation in itertools.product(FAMILIES, NORMALIZATIONS, ACTIVATIONS)
    }


def test_decades_sign_and_direction():
    """Gradients are compared from the last layer to the first, activations from the first to the last."""
    assert decades({"gradient": [-5.0, 0.0, -2.0]}) == -3
    assert decades({"activation": [-5.0, 0.0, -2.0]}, "activation") == 3


def test_gradients_initial_checks_hold_on_expected_norms(fresh):
    assert [check.holds for check in initial_checks(fresh, DEPTHS)] == [True] * 7
    assert len(initial_rows(fresh, DEPTHS)) == 16


SPOILED = {  # (kind, initialization, depth) -> decades per layer, and the checks that fail
    "small at one depth": (("plain", "none", "relu"), "small", 20, 0.0, {0}),
    "large": (("plain", "none", "relu"), "large", 110, 0.02, {1}),
    "he": (("plain", "none", "relu"), "he", 110, -0.2, {2}),
    "sigmoid": (("plain", "none", "sigmoid"), "large", 110, 0.0, {3}),
    "scale counts": (("plain", "batch", "relu"), "small", 110, 0.03, {4}),
    "vanishes": (("plain", "batch", "relu"), "small", 110, -0.02, {4, 5}),
    "residual": (("residual", "batch", "relu"), "he", 20, -0.03, {4, 6}),
}


@pytest.mark.parametrize("name", SPOILED)
def test_gradients_initial_check_fails_on_one_bad_network(fresh, name):
    kind, initialization, depth, slope, spoiled = SPOILED[name]
    fresh[kind][initialization][str(depth)] = norms(slope, depth - 1)
    held = [check.holds for check in initial_checks(fresh, DEPTHS)]
    assert {number for number, holds in enumerate(held) if not holds} == spoiled


def trained(end, slope=0.02, layers=55):
    return {
        "found": [norms(slope, layers)] * 3,
        "steps": [0, 100, 200],
        "loss": [[], [2.3, 2.3, end, end, end]],
        "diverged": None,
    }


@pytest.fixture
def runs():
    ends = {("plain", 56, "batch"): 1.0, ("residual", 56, "batch"): 0.1, ("plain", 20, "batch"): 0.2}
    kinds = itertools.product(TRAINED, NORMALIZATIONS, (0, 1))
    return {(*network, each, seed): trained(ends.get((*network, each), 2.3)) for network, each, seed in kinds}


def test_gradients_trained_checks_hold_on_expected_runs(runs):
    assert [check.holds for check in trained_checks(runs, (0, 1), 90.0)] == [True, True]
    assert len(trained_rows(runs)) == 16


def test_gradients_trained_check_fails_on_vanishing_gradient(runs):
    runs["plain", 56, "batch", 1]["found"][2] = norms(-0.02, 55)
    assert [check.holds for check in trained_checks(runs, (0, 1), 90.0)] == [False, True]


def test_gradients_trained_checks_fail_without_learning(runs):
    """At learning rate 0 no check holds, even if the residual network's loss happens to be lower."""
    still = {kind: trained(2.2 if kind[0] == "residual" else 2.3) for kind in runs}
    assert not any(check.holds for check in trained_checks(still, (0, 1), 90.0))


def test_gradients_losses_of_diverged_run_are_infinite(runs):
    assert losses(trained(0.1) | {"diverged": 150}) == (2.3, math.inf)
    runs["residual", 56, "batch", 0]["diverged"] = 150
    assert [check.holds for check in trained_checks(runs, (0, 1), 90.0)] == [False, True]


@pytest.mark.slow
def test_gradients_page_from_stored_answers(fresh, runs, tmp_path):
    """Builds the page from answer files in the workdir; the theory line grows by sqrt(pi / (pi - 1)) per layer."""
    experiment = Experiment("configs/evidence/digits.yaml", str(tmp_path), depths=DEPTHS[1:], seeds=(0, 1))
    (tmp_path / "measurements").mkdir()
    answers = [(fresh, gradients.initial_jobs(experiment)), (runs, gradients.trained_jobs(experiment))]
    for found, job in [(found[kind], job) for found, jobs in answers for kind, job in jobs.items()]:
        (tmp_path / "measurements" / experiment.answer_file(job).rpartition("/")[2]).write_text(json.dumps(found))
    page = gradients.page(experiment)
    assert all(check.holds for check in page.checks)
    theory = page.plots[0].figure.axes[1].lines[-1]
    assert theory.get_label().startswith("theory")
    assert theory.get_ydata()[1] - theory.get_ydata()[0] == pytest.approx(102 * math.log10(1.2112), abs=0.01)
    files = write_page(page, experiment, str(tmp_path / "report"))
    assert len([path for path in files if path.endswith(".png")]) == 4
