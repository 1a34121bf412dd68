"""Compares bottleneck and basic blocks at equal cost (section 4.1), and trains 1202 layers (section 4.2)."""

import itertools
import resource
import sys
import threading
import time

import numpy as np

from keras_resnet.analysis.complexity import read_complexities
from keras_resnet.reproduce import degradation
from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training
from keras_resnet.reproduce.plots import COLORS, band, label, new_figure
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Table, check_no_worse, check_within
from keras_resnet.specs import SPECS

BASIC, BOTTLENECK = "cifar_resnet32", "cifar_bottleneck47"  # 15 blocks each, as ResNet-34 and 50 have 16
VERY_DEEP_STEPS = 40
VERY_DEEP = Training(
    "cifar_resnet1202",
    0,
    (
        *(
            "train.epochs=null",
            f"train.steps={VERY_DEEP_STEPS}",
            "train.warmup_steps=0",
            "train.warmup_learning_rate=null",
        ),
        *("train.schedule=constant", "train.learning_rate=0.01"),  # the paper's warm-up rate for deep networks
        *("train.log_every=1", f"train.eval_every={VERY_DEEP_STEPS}", f"train.checkpoint_every={VERY_DEEP_STEPS}"),
        "recovery.max_loss_ratio=null",  # the loss explodes at first; a rollback would rebuild 1202 layers
    ),
)


MARGIN = 2.0  # percentage points that "no worse" allows
SAME_COST = 0.1
FALL = 0.8  # largest allowed ratio of the loss of the last five steps to that of the first five

TEXT = """
A bottleneck (1x1, 3x3, 1x1) costs about as much as a basic block (3x3, 3x3) and is a layer deeper. In the paper it
makes ResNet-50 out of ResNet-34: 22.85 % error in place of 25.03 (A) and 24.52 % (B) on ImageNet.

ResNet-32 and the network of {layers} layers that has a bottleneck in place of each of its 15 blocks, both with option
A, on {data} with one recipe (`{config}`), {seeds} seeds each. "No worse" allows {margin:g} points, "equal cost"
{same:.0%} of the MACs.

How deep can one go? The paper trains 1202 layers to less than 0.1 % training error and 7.93 % test error on CIFAR-10.
That is more than this page does: ResNet-1202 is trained for {steps} steps at a rate of 0.01, to show that it trains at
all, with its memory and time in a process of its own. Its loss has to fall to {fall:.0%}, and below that of chance.
All of this was fixed before the first run but the last: a loss that explodes at first and comes back to where it began
fulfilled the weaker check.
"""


def very_deep(experiment: Experiment) -> Measurement:
    """Returns the job of a short run with 1202 layers in a separate process."""
    return Measurement("keras_resnet.reproduce.bottleneck:train_very_deep", (), (), True, 180.0)


def jobs(experiment: Experiment) -> list[Job]:
    """Returns the runs with both kinds of block, and the job of the very deep network."""
    runs = [Training(name, seed) for name in (BASIC, BOTTLENECK) for seed in experiment.seeds]
    return [*runs, very_deep(experiment)]


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with the errors of both kinds of block and the short run."""
    runs = {name: [Training(name, seed) for seed in experiment.seeds] for name in (BASIC, BOTTLENECK)}
    deep = experiment.answer(very_deep(experiment))
    text = TEXT.format(
        layers=SPECS[BOTTLENECK].layers,
        data=experiment.data,
        config=experiment.config,
        seeds=len(experiment.seeds),
        margin=MARGIN,
        same=SAME_COST,
        steps=len(deep["losses"]),
        fall=FALL,
    )
    rows = []
    for name, each in runs.items():
        cost = read_complexities()[name]
        head = {"network": name, "layers": SPECS[name].layers, "MACs (1e6)": cost["macs"] / 1e6}
        rows.append(head | {key: value for key, value in degradation.row(experiment, each).items() if key != "network"})
    return ReportPage(
        name="bottleneck",
        title="Bottlenecks, and 1202 layers (sections 4.1 and 4.2)",
        text=text,
        tables=[
            Table("", "Errors: mean, least and greatest over the seeds; costs on images of 32 pixels", rows),
            Table("very_deep", "ResNet-1202", [_very_deep_row(deep)]),
        ],
        plots=[_picture(experiment, runs, deep["losses"])],
        checks=_checks(experiment, runs, deep["losses"]),
        seeds=experiment.seeds,
    )


def _very_deep_row(deep):
    return {
        "network": VERY_DEEP.network,
        "steps": len(deep["losses"]),
        "first loss": deep["losses"][0],
        "last loss": deep["losses"][-1],
        "first step, with building and tracing (s)": deep["first_step_seconds"],
        "a step (s)": deep["step_seconds"],
        "peak memory (GB)": deep["peak_memory"] / 1e9,
    }


def _checks(experiment, runs, losses):
    costs = read_complexities()
    basic, bottleneck = (costs[name]["macs"] / 1e6 for name in (BASIC, BOTTLENECK))
    found = [check_within("bottleneck and basic blocks are of equal cost", bottleneck, basic, SAME_COST, " M")]
    for kind, error in (("training", experiment.train_error), ("test", experiment.test_error)):
        claim = f"bottlenecks are no worse than basic blocks ({kind} error)"
        ours, basics = ([error(run) for run in runs[name]] for name in (BOTTLENECK, BASIC))
        found.append(check_no_worse(claim, ours, basics, MARGIN, experiment.chance))
    first, last = float(np.mean(losses[:5])), float(np.mean(losses[-5:]))
    chance = -float(np.log(1 - experiment.chance / 100))
    holds = bool(np.isfinite(losses).all()) and last <= FALL * first and last < chance
    values = f"training loss {first:.3f} over the first five steps, {last:.3f} over the last five of {len(losses)}"
    values += f"; that of chance is {chance:.3f}"
    return [*found, Check("ResNet-1202 trains: its loss falls", holds, values)]


def _picture(experiment, runs, losses):
    figure, ((left, right),) = new_figure(2)
    names = {BASIC: ("residual", "basic, 32 layers"), BOTTLENECK: ("bottleneck", "bottleneck, 47 layers")}
    for name, (color, shown) in names.items():
        for figure_name, dash in (("train/error", "--"), ("validation/error", "-")):
            curves = [experiment.curve(run, figure_name) for run in runs[name]]
            kind = "training" if dash == "--" else "held-out"
            style = {"color": COLORS[color], "linestyle": dash, "label": f"{shown}, {kind}"}
            band(left, curves[0][0], [values for _, values in curves], **style)
    label(left, "step", "error (%)", f"equal cost, {experiment.data}", ylim=(0, None))
    right.plot(range(1, len(losses) + 1), losses, color=COLORS["residual"])
    label(right, "step", "training loss (cross entropy)", "ResNet-1202", None, ylim=(0, None))
    caption = (
        "Errors over the steps with both kinds of block, medians and ranges of the seeds; the loss of 1202 layers."
    )
    return Plot("curves", caption, figure)


def train_very_deep(experiment: Experiment) -> dict:
    """Trains ResNet-1202 for a few steps through `fit`.

    Returns:
        {"losses": of each step, "first_step_seconds": time of this process's first step, building and tracing
        included, "step_seconds": median time of its other steps, "peak_memory": of this process, in bytes}. A time is
        None if this process has no such step because the run was resumed.
    """
    from keras_resnet.reproduce.worker import train
    from keras_resnet.runs.logs import read_metrics

    path, times = experiment.folder(VERY_DEEP).metrics, [time.monotonic()]
    there = len(read_metrics(path))  # lines of an earlier process that was stopped
    ended = threading.Event()

    def watch():
        while not ended.wait(0.05):
            times.extend([time.monotonic()] * (1 + len(read_metrics(path)) - there - len(times)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        train(experiment, VERY_DEEP)
    finally:
        ended.set()
        thread.join()
    gaps = sorted(after - before for before, after in itertools.pairwise(times[1:]))
    unit = 1 if sys.platform == "darwin" else 1024  # bytes per unit of ru_maxrss
    return {
        "losses": experiment.curve(VERY_DEEP, "train/loss")[1],
        "first_step_seconds": times[1] - times[0] if len(times) > 1 else None,
        "step_seconds": gaps[len(gaps) // 2] if gaps else None,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }
