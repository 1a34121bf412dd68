"""Tests the pages of degradation, shortcuts, highway and bottleneck on known errors.

All checks hold for errors in the paper's order. One number out of order fails its check and no other. Checks that
compare errors fail for networks that learned nothing.
"""

from dataclasses import dataclass, field

import pytest
from conftest import ROOT

from keras_resnet.reproduce import bottleneck, degradation, highway, shortcuts
from keras_resnet.reproduce.experiment import Experiment, Training
from keras_resnet.reproduce.plots import band, new_figure

# Error in percent by network and option; it grows with depth only in networks without shortcuts.
ERRORS = {f"cifar_plain{depth}": 2 + depth / 2 for depth in (32, 44, 56)} | {
    "cifar_plain20": 2.0,
    "cifar_plain110": 80.0,
}
ERRORS |= {f"cifar_resnet{depth}": 1.0 for depth in (20, 32, 44, 56, 110)}
ERRORS |= {f"cifar_highway{depth}": 1.5 for depth in (20, 32, 44, 56, 110)} | {"cifar_bottleneck47": 1.2}
ERRORS |= {"cifar_resnet32 model.shortcut=B": 1.1, "cifar_resnet32 model.shortcut=C": 0.9}
TIMES = {"A": [0.010, 0.011], "B": [0.011, 0.012], "C": [0.013, 0.014]}
GATE = {"mean": 0.2, "p5": 0.1, "p95": 0.4, "closed": 0.1, "over_images": 0.05}
DEEP = {"losses": [9.0] * 5 + [1.5] * 5, "first_step_seconds": 60.0, "step_seconds": 1.0, "peak_memory": 6e9}


@dataclass(frozen=True)
class Known(Experiment):
    """An experiment whose runs have the errors of `spoiled`, or else of `ERRORS`.

    Attributes:
        spoiled: {(metric, network and changes, seed): percent}; metrics are "train", "test" and "mean".
        everywhere: error of every run in percent, in place of `ERRORS`, if not None.
        answers: {measurement name: answer}, in place of TIMES, GATE and DEEP.
    """

    spoiled: dict = field(default_factory=dict)
    everywhere: float | None = None
    answers: dict = field(default_factory=dict)

    def error(self, figure, training):
        name = " ".join((training.network, *training.changes))
        usual = ERRORS[name] if self.everywhere is None else self.everywhere
        return self.spoiled.get((figure, name, training.seed), usual)

    def train_error(self, training):
        return self.error("train", training)

    def test_error(self, training):
        return self.error("test", training)

    def mean_train_error(self, training):
        return self.error("mean", training)

    def curve(self, training, figure):
        return [1, 2], [90.0, self.train_error(training)]

    def results(self, training):
        return {"rollbacks": 0}

    def answer(self, measurement):
        name = measurement.function.rpartition(":")[2]
        usual = {"step_times": TIMES, "measure_gates": [GATE | {"block": "stage1_block1"}], "train_very_deep": DEEP}
        return self.answers.get(name, usual[name])


def verdicts(finding, **changes):
    """Returns {claim: whether it holds} of a page."""
    page = finding.page(Known(str(ROOT / "configs/evidence/digits.yaml"), "unused", **changes))
    assert page.plots
    return {check.claim: check.holds for check in page.checks}


@pytest.mark.slow
@pytest.mark.parametrize("finding", [degradation, shortcuts, highway, bottleneck])
def test_page_checks_hold_in_paper_order(finding):
    found = verdicts(finding)
    assert found
    assert all(found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("finding", [degradation, shortcuts, highway, bottleneck])
@pytest.mark.parametrize("error", [0.0, 90.0])
def test_page_error_checks_fail_on_equal_errors(finding, error):
    """At an error of 90 %, which is chance, no check that compares errors holds."""
    found = verdicts(finding, everywhere=error)
    errors = {claim: holds for claim, holds in found.items() if "error" in claim}
    assert errors
    assert not any(holds for claim, holds in errors.items() if error or " lower " in claim or " higher " in claim), (
        errors
    )


SPOILED = [
    (degradation, ("train", "cifar_plain56", 3), 1.5, "plain-56 has a higher training error than plain-20"),
    (degradation, ("test", "cifar_plain110", 0), 1.9, "plain-110 has a higher test error than plain-20"),
    (
        degradation,
        ("mean", "cifar_plain20", 4),
        1.0,
        "ResNet-20 converges faster than plain-20 (training error over all",
    ),
    (degradation, ("test", "cifar_plain20", 1), 30.0, "ResNet-20 and plain-20 end alike (test error)"),
    (degradation, ("train", "cifar_resnet110", 2), 20.0, "ResNet-110 is no worse than ResNet-20 (training error)"),
    (degradation, ("test", "cifar_resnet44", 2), 20.0, "ResNet-44 is no worse than ResNet-20 (test error)"),
    (shortcuts, ("train", "cifar_resnet32 model.shortcut=B", 1), 25.0, "option B has a lower training error than the"),
    (shortcuts, ("test", "cifar_resnet32 model.shortcut=C", 1), 60.0, "A, B and C differ little (test error)"),
    (highway, ("train", "cifar_highway44", 2), 30.0, "Highway-44 has a lower training error than plain-44"),
    (highway, ("test", "cifar_highway110", 0), 0.0, "Highway-110 shows no gain over the best shallower one"),
    (highway, ("test", "cifar_highway110", 0), 140.0, "Highway-110 shows no gain over the best shallower one"),
    (
        bottleneck,
        ("train", "cifar_bottleneck47", 0),
        20.0,
        "bottlenecks are no worse than basic blocks (training error)",
    ),
    (bottleneck, ("test", "cifar_bottleneck47", 4), 20.0, "bottlenecks are no worse than basic blocks (test error)"),
]


@pytest.mark.sampled(
    "keras_resnet.reproduce.degradation-figure0-1.5-plain-56 has a higher training error than plain-20",
    "keras_resnet.reproduce.highway-figure9-0.0-Highway-110 shows no gain over the best shallower one",
)
@pytest.mark.parametrize(("finding", "figure", "error", "claim"), SPOILED)
def test_page_check_fails_on_one_bad_figure(finding, figure, error, claim):
    found = verdicts(finding, spoiled={figure: error})
    assert [each[: len(claim)] for each, holds in found.items() if not holds] == [claim]


@pytest.mark.parametrize(
    "losses", [[30.0] * 5 + [2.4] * 5, [2.0] * 5 + [1.9] * 5, [9.0] * 5 + [1.5] * 4 + [float("nan")]]
)
def test_bottleneck_page_resnet_1202_without_training(losses):
    """The loss stays above chance, hardly falls, or diverges."""
    found = verdicts(bottleneck, answers={"train_very_deep": DEEP | {"losses": losses}})
    assert [claim for claim, holds in found.items() if not holds] == ["ResNet-1202 trains: its loss falls"]


@pytest.mark.slow
def test_shortcuts_page_option_c_step_not_slower():
    found = verdicts(shortcuts, answers={"step_times": TIMES | {"C": TIMES["A"]}})
    assert [claim for claim, holds in found.items() if not holds] == ["a step with C takes longer than with A"]


def test_shortcuts_jobs_train_every_option():
    experiment = Known(str(ROOT / "configs/evidence/digits.yaml"), "unused", seeds=(0,))
    runs = [run for run in shortcuts.jobs(experiment) if isinstance(run, Training)]
    names = ["cifar_resnet32", "cifar_resnet32", "cifar_resnet32", "cifar_plain32"]
    assert [run.network for run in runs] == names
    assert [experiment.config_of(run).model.shortcut for run in runs[1:3]] == ["B", "C"]


def test_plots_band_spans_minimum_to_maximum():
    _, ((axes,),) = new_figure()
    band(axes, [1, 2], [[1, 10], [2, 30], [3, 20]])
    (area,) = axes.collections
    corners = area.get_paths()[0].vertices
    assert {tuple(each) for each in corners} == {(1, 1), (1, 3), (2, 10), (2, 30)}
    assert axes.lines[0].get_ydata().tolist() == [2, 20]
