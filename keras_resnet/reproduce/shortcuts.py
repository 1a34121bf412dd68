"""Compares shortcut options (table 3): zero padding (A), projections if the shape changes (B), all projections (C)."""

import statistics
import time

import numpy as np

from keras_resnet.analysis.complexity import Complexity, complexity
from keras_resnet.reproduce import degradation
from keras_resnet.reproduce.degradation import trainings
from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training
from keras_resnet.reproduce.plots import COLORS, MARKERS, label, new_figure
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Table, check_lower
from keras_resnet.specs import SPECS, variant

OPTIONS = ("A", "B", "C")
DEPTH = 32  # layers; the paper's table has 34
TIMED_STEPS, TIMED_ROUNDS = 10, 7
# He et al. 2015, table 3: 10-crop top-1 error of plain-34 and ResNet-34 on ImageNet
PAPER = {"plain": 28.54, "A": 25.03, "B": 24.52, "C": 24.19}

TEXT = """
Does it matter what the shortcuts do where a block changes the shape? A: every second pixel and zero channels. B: a 1x1
convolution there. C: a 1x1 convolution in every block. The paper's answer on ImageNet (34 layers): all three are far
better than the plain network, B a little better than A, C a little better than B, and the differences too small to pay
for.

ResNet-{depth} with each option, and plain-{depth}, on {data} with one recipe (`{config}`), {seeds} seeds each; the runs
of A and of the plain network are those of `reproduce degradation`. Costs are of the paper's images of 32 pixels. Step
times are of training steps on the recipe's batch, the options in turn, {rounds} rounds of {steps} steps; factors are
the median of the rounds. A comparison holds where it does for every seed; "differ little": by at most half of what
separates the worst of them from the plain network (in the paper 0.84 and 3.51 points). All of this was fixed before the
first run.
"""


def depth_of(experiment: Experiment) -> int:
    """Returns the experiment's largest depth that is at most `DEPTH`, or its smallest depth."""
    return max((depth for depth in experiment.depths if depth <= DEPTH), default=experiment.depths[0])


def option_trainings(experiment: Experiment, option: str) -> list[Training]:
    """Returns the runs of one option, one per seed; option A uses the runs of `degradation`."""
    same = trainings(experiment, "residual", depth_of(experiment))
    return same if option == "A" else [Training(t.network, t.seed, (f"model.shortcut={option}",)) for t in same]


def timing(experiment: Experiment) -> Measurement:
    """Returns the job that measures the step times of the options."""
    return Measurement(
        "keras_resnet.reproduce.shortcuts:step_times", (("depth", depth_of(experiment)),), (), True, 40.0
    )


def jobs(experiment: Experiment) -> list[Job]:
    """Returns the runs of the options and of the plain network, and the timing job."""
    runs = [each for option in OPTIONS for each in option_trainings(experiment, option)]
    return [*runs, *trainings(experiment, "plain", depth_of(experiment)), timing(experiment)]


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with the errors and costs of the options."""
    depth = depth_of(experiment)
    runs = {"plain": trainings(experiment, "plain", depth)} | {o: option_trainings(experiment, o) for o in OPTIONS}
    costs, times = {option: _cost(depth, option) for option in runs}, experiment.answer(timing(experiment))
    text = TEXT.format(
        depth=depth,
        data=experiment.data,
        config=experiment.config,
        seeds=len(experiment.seeds),
        rounds=TIMED_ROUNDS,
        steps=TIMED_STEPS,
    )
    rows = [_row(experiment, option, each, costs[option], times) for option, each in runs.items()]
    return ReportPage(
        name="shortcuts",
        title="Shortcuts: zero channels or projections (section 4.1, table 3)",
        text=text,
        tables=[Table("", "Errors: mean, least and greatest over the seeds; costs", rows)],
        plots=[_picture(experiment, runs, times)],
        checks=_checks(experiment, runs, costs, times),
        seeds=experiment.seeds,
    )


def _cost(depth, option) -> Complexity:
    from keras_resnet.builder import build

    if option == "plain":
        return complexity(build(SPECS[f"cifar_plain{depth}"]))
    return complexity(build(variant(SPECS[f"cifar_resnet{depth}"], shortcut=option)))


def _factor(times, option):
    """Returns the step time of an option relative to option A."""
    return statistics.median(b / a for a, b in zip(times["A"], times[option], strict=True))


def _row(experiment, option, runs, cost, times):
    errors = degradation.row(experiment, runs)
    kept = [name for name in errors if name not in ("network", "parameters", "the paper's, CIFAR-10 (%)")]
    return {
        "option": option,
        "parameters": cost.parameters,
        "MACs (1e6)": cost.macs / 1e6,
        "step time (ms)": 1000 * statistics.median(times[option]) if option in times else None,
        "step time (A = 1)": _factor(times, option) if option in times else None,
        **{name: errors[name] for name in kept},
        "the paper's, ImageNet, 34 layers (%)": PAPER[option],
    }


def _checks(experiment, runs, costs, times):
    train = {option: [experiment.train_error(run) for run in each] for option, each in runs.items()}
    test = {option: float(np.mean([experiment.test_error(run) for run in each])) for option, each in runs.items()}
    found = [
        check_lower(
            f"option {option} has a lower training error than the plain network",
            train[option],
            train["plain"],
            experiment.chance,
        )
        for option in OPTIONS
    ]
    options = [test[option] for option in OPTIONS]
    apart, from_plain = max(options) - min(options), test["plain"] - max(options)
    holds = apart <= from_plain / 2 and max(options) < experiment.chance / 2
    each = ", ".join(f"{option} {test[option]:.2f} %" for option in OPTIONS)
    values = f"means {each}: {apart:.2f} points apart, the plain network {from_plain:.2f} above them"
    found.append(Check("A, B and C differ little (test error)", holds, values))
    found.append(_growing("parameters", [costs[option].parameters for option in OPTIONS]))
    found.append(_growing("MACs", [costs[option].macs for option in OPTIONS]))
    factor = _factor(times, "C")
    return [*found, Check("a step with C takes longer than with A", factor > 1, f"{factor:.2f} times as long")]


def _growing(what, values):
    holds = values[0] < values[1] < values[2]
    return Check(f"{what} grow from A to B to C", holds, ", ".join(f"{value:,}" for value in values))


def _picture(experiment, runs, times):
    figure, ((ours, paper, clock),) = new_figure(3, height=2.5)
    names = list(runs)
    for i, (option, each) in enumerate(runs.items()):
        color, marker = COLORS.get(option, COLORS["residual"]), MARKERS.get(option, "o")
        train, test = [experiment.train_error(run) for run in each], [experiment.test_error(run) for run in each]
        for errors, at, fill, kind in ((train, i - 0.2, "none", "training"), (test, i + 0.2, "full", "test")):
            style = {"color": color, "marker": marker, "fillstyle": fill, "linestyle": "none"}
            ours.plot([at] * len(errors), errors, label=f"{kind} error" if option == "A" else None, **style)
        paper.plot(i, PAPER[option], "k*", markersize=7)
        if option in times:
            factors = [b / a for a, b in zip(times["A"], times[option], strict=True)]
            clock.plot([i - 1] * len(factors), factors, "o", color=color, alpha=0.5)
            clock.plot([i - 1.2, i - 0.8], [_factor(times, option)] * 2, color="black")
    for axes, ticks in ((ours, names), (paper, names), (clock, OPTIONS)):
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlim(-0.5, len(ticks) - 0.5)
    ours.set_yscale("symlog", linthresh=1)  # the options differ by less than a point, the plain network by twenty
    ours.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
    ours.yaxis.minorticks_off()
    label(ours, "option", "error (%)", f"ours, {experiment.data}", ylim=(-0.1, 100))
    label(paper, "option", "top-1 error, 10-crop (%)", "the paper's, ImageNet", None, ylim=(0, 32))
    label(clock, "option", "step time (A = 1)", "ours, time", None, ylim=(0, None))
    caption = "Errors of every seed beside the paper's, and step times of every round with their median."
    return Plot("options", caption, figure)


def step_times(experiment: Experiment, depth: int) -> dict[str, list[float]]:
    """Returns {option: mean seconds per training step in each round}; options alternate, since machine load varies."""
    import tensorflow as tf

    from keras_resnet.data.pipeline import training_batches
    from keras_resnet.task import load_task
    from keras_resnet.training.optimizer import build_model_and_optimizer
    from keras_resnet.training.steps import make_train_step
    from keras_resnet.training.strategy import make_strategy

    strategy = make_strategy("one_device")
    steps = {}
    for option in OPTIONS:
        task = load_task(experiment.config_of(Training(f"cifar_resnet{depth}", 0, (f"model.shortcut={option}",))))
        batch = next(iter(training_batches(task, strategy, 0)))
        model, optimizer = build_model_and_optimizer(task, strategy)
        steps[option] = (make_train_step(task, model, optimizer, strategy), batch)

    def seconds(step, batch, count):
        began = time.perf_counter()
        for _ in range(count):
            sums = step(batch)
        tf.nest.map_structure(np.asarray, sums)  # waits for the device
        return (time.perf_counter() - began) / count

    for step, batch in steps.values():
        seconds(step, batch, 2)
    found: dict[str, list[float]] = {option: [] for option in OPTIONS}
    for _ in range(TIMED_ROUNDS):
        for option, (step, batch) in steps.items():
            found[option].append(seconds(step, batch, TIMED_STEPS))
    return found
