"""Tests what batch normalization does (Ioffe and Szegedy 2015): batch statistics, drift and higher learning rates."""

import itertools
import math

import numpy as np
from matplotlib.figure import Figure

from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training
from keras_resnet.reproduce.plots import COLORS, band, label, legend_above, new_figure
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Row, Table
from keras_resnet.reproduce.worker import images_and_labels, probe_run, short

NETWORK = "cifar_resnet20"
LAYER = "stage3_block3_conv1"  # the last 3x3 layer whose response enters a non-linearity
NORMALIZATIONS, FACTORS = ("none", "batch"), (1, 5, 30)
RATE = 0.01  # learning rate at factor 1
STEPS, PROBE_EVERY, IMAGES = 300, 30, 256
SEEDS = 3  # number of the experiment's seeds that are used
LEARNED = 0.5  # nats; a run has learned if its training loss is below this value
EXACT = 1e-3  # allowed error of means and variances
DEAD = 0.1  # allowed difference of a variance below 1, which epsilon causes
PERCENTILES = (15, 50, 85)
# Ioffe and Szegedy 2015, figure 3: ratio of the steps (in millions) to 72.2 % with Inception, without over with
PAPER_SPEED_UP = {1: 31.0 / 13.3, 5: 31.0 / 2.1, 30: 31.0 / 2.7}
RATE_COLORS = dict(zip(FACTORS, ("#0072B2", "#E69F00", "#CC79A7"), strict=True))
TITLES = {"none": "no normalization", "batch": "batch normalization"}

TEXT = """
Batch normalization gives every channel mean 0 and variance 1 over the batch, before a learned scale and shift. Ioffe
and Szegedy (2015) say that this keeps the inputs of every layer from drifting while those below learn, and that it
allows much higher rates: they train Inception at 1, 5 and 30 times the rate, and without it 5 times diverges.

ResNet-20 with and without it, at rates of {rates}, {steps} steps, otherwise by the recipe (`{config}`), seeds {seeds};
without, convolutions have biases. Measured at first and every {every} steps on one batch of {images} training images,
in training mode:

- mean and variance of every channel after the layer, scale and shift taken off; the variance of a channel whose
  input's is v should be v / (v + epsilon).
- percentiles 15, 50 and 85 of each channel of `{layer}`, as it goes into the ReLU. *Drift* is how far the median moves
  from one measurement to the next, over the mean width from percentile 15 to 85; averaged over channels and steps.
- steps until the training loss, a mean of 10 steps, is below {learned:g} nats. *Never* is a run that ends or diverges
  before.

The rates were chosen on seed 100, where 1 times the rate suits the network without normalization; seeds, steps, limits
and comparisons were fixed before the first run of those reported, but that a variance far below 1, of a dead channel,
does not count as 1.
"""


def measurement(normalization: str, factor: int, seed: int) -> Measurement:
    """Returns the job that trains one run and measures it at checkpoints."""
    arguments = (("normalization", normalization), ("factor", factor), ("seed", seed))
    return Measurement("keras_resnet.reproduce.batchnorm:probed", arguments, seconds=18.0)


def all_jobs(experiment: Experiment) -> dict[tuple[str, int, int], Measurement]:
    """Returns {(normalization, factor on the learning rate, seed): measurement}."""
    kinds = itertools.product(NORMALIZATIONS, FACTORS, experiment.seeds[:SEEDS])
    return {kind: measurement(*kind) for kind in kinds}


def jobs(experiment: Experiment) -> list[Job]:
    """Returns all measurements."""
    return list(all_jobs(experiment).values())


def probed(experiment: Experiment, normalization: str, factor: int, seed: int) -> dict:
    """Trains a run and measures it at checkpoints.

    Returns:
        The result of `probe_run`, where "found" has {"percentiles": (C, 3)} and, with batch normalization, "mean" and
        "variance", the largest absolute errors, and "least_variance".
    """
    from keras_resnet.analysis.batch_norm_statistics import batch_norm_statistics, preactivation_percentiles
    from keras_resnet.task import load_task

    # keep_checkpoints exceeds the number of checkpoints that a run writes and differs for each factor. If --set fixes
    # the learning rate, the runs still have different folders, so two processes never share one.
    kept = f"train.keep_checkpoints={STEPS * factor}"
    changes = (f"model.normalization={normalization}", f"train.learning_rate={RATE * factor:g}", kept)
    training = Training(NETWORK, seed, short(STEPS, PROBE_EVERY, *changes))
    images, _ = images_and_labels(load_task(experiment.config_of(training)), IMAGES)

    def probe(model):
        found = {"percentiles": preactivation_percentiles(model, images, percentiles=PERCENTILES)[LAYER].tolist()}
        if normalization == "batch":
            rows = batch_norm_statistics(model, images)
            found["mean"] = float(np.nanmax(np.abs(rows["mean"])))
            found["variance"] = float(np.nanmax(np.abs(rows["variance"] - rows["expected_variance"])))
            found["least_variance"] = float(np.nanmin(rows["variance"]))
        return found

    return probe_run(experiment, training, probe)


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with the findings."""
    runs = {kind: experiment.answer(job) for kind, job in all_jobs(experiment).items()}
    seeds = experiment.seeds[:SEEDS]
    text = TEXT.format(
        rates=", ".join(f"{RATE * factor:g}" for factor in FACTORS),
        steps=STEPS,
        config=experiment.config,
        seeds=", ".join(map(str, seeds)),
        every=PROBE_EVERY,
        images=IMAGES,
        layer=LAYER,
        learned=LEARNED,
    )
    pictures = [
        Plot("convergence", CONVERGENCE, convergence_picture(runs, seeds)),
        Plot("percentiles", DRIFT.format(layer=LAYER, seed=seeds[0]), percentiles_picture(runs, seeds[0])),
    ]
    tables = [Table("", "The runs", rows(runs))]
    return ReportPage("batchnorm", TITLE, text, tables, pictures, checks(runs, seeds), seeds)


TITLE = "Batch normalization (section 3.4)"
CONVERGENCE = (
    "Training loss, median and range over the seeds that did not diverge; at the right, how much sooner it is low than "
    "without normalization at 1 times the rate. Stars: Ioffe and Szegedy (2015), Inception on ImageNet."
)
DRIFT = "Percentiles of what the first three channels of {layer} give to the ReLU, at 1 times the rate, seed {seed}."


def steps_to_learn(run: dict) -> float:
    """Returns the steps until the training loss is below `LEARNED`; infinity if it never is."""
    return next((step for step, loss in zip(*run["loss"], strict=True) if loss < LEARNED), math.inf)


def drift(run: dict) -> float:
    """Returns how far medians move between measurements, in widths of the distribution."""
    percentiles = np.array([found["percentiles"] for found in run["found"]])  # (measurements, C, 3)
    low, median, high = np.moveaxis(percentiles, -1, 0)
    width = (high - low).mean(0)
    moved = np.abs(np.diff(median, axis=0)).mean(0)
    return float(np.mean(moved[width > 0] / width[width > 0]))


def rows(runs) -> list[Row]:
    """Returns a row per run."""
    found: list[Row] = []
    for (normalization, factor, seed), run in runs.items():
        worst = {name: max((each[name] for each in run["found"] if name in each), default=None) for name in EXACTLY}
        found.append(
            {
                "normalization": normalization,
                "rate": RATE * factor,
                "seed": seed,
                f"steps to a loss of {LEARNED:g}": _or_never(steps_to_learn(run)),
                "last loss": run["loss"][1][-1] if run["loss"][1] else None,
                "diverged at step": run["diverged"],
                "drift": round(drift(run), 4) if len(run["found"]) > 1 else None,
                "greatest mean": worst["mean"],
                "greatest error of the variance": worst["variance"],
            }
        )
    return found


EXACTLY = ("mean", "variance")


def checks(runs, seeds) -> list[Check]:
    """Returns the checks; those on learning do not hold if no run learns."""
    normed = [found for (normalization, *_), run in runs.items() if normalization == "batch" for found in run["found"]]
    mean, variance = (max(found[name] for found in normed) for name in EXACTLY)
    least = min(found["least_variance"] for found in normed)
    steps = {kind: steps_to_learn(run) for kind, run in runs.items()}
    bare, *others = (
        [steps["none", 1, seed] for seed in seeds],
        *([steps["batch", f, seed] for seed in seeds] for f in FACTORS),
    )
    same, five, thirty = others
    bare_thirty = [steps["none", 30, seed] for seed in seeds]
    drifts = {name: [drift(runs[name, 1, seed]) for seed in seeds] for name in NORMALIZATIONS}
    return [
        Check(
            "After the layer, every channel has mean 0 and variance 1 over the batch",
            mean < EXACT and variance < EXACT and least > 1 - DEAD,
            f"at most {mean:.1g} and {variance:.1g} off, allowed {EXACT:g}, in {len(normed)} measurements; "
            f"least variance {least:.4f}",
        ),
        _sooner("At the same rate it learns in fewer steps", same, bare),
        _sooner("At 5 times the rate it learns in fewer steps than without at 1 times", five, bare),
        Check(
            "At 30 times the rate it learns, and without it never does",
            all(map(math.isfinite, thirty)) and not any(map(math.isfinite, bare_thirty)),
            f"steps with {_numbers(thirty)}, without {_numbers(bare_thirty)}",
        ),
        Check(
            "With it, what goes into the last non-linearity of a block drifts less, at the same rate",
            all(a < b for a, b in zip(drifts["batch"], drifts["none"], strict=True)),
            f"with {_widths(drifts['batch'])}, without {_widths(drifts['none'])} widths",
        ),
    ]


def _sooner(claim, fast, slow):
    holds = all(a < b for a, b in zip(fast, slow, strict=True))
    return Check(claim, holds, f"steps {_numbers(fast)} against {_numbers(slow)}")


def _or_never(steps):
    return steps if math.isfinite(steps) else "never"


def _numbers(steps):
    return ", ".join(str(_or_never(each)) for each in steps)


def _widths(values):
    return ", ".join(f"{value:.3f}" for value in values)


def convergence_picture(runs, seeds) -> Figure:
    """Plots losses over steps without and with normalization, and the ratio of the steps until they are low."""
    figure, axes = new_figure(3, 1, height=2.6)
    for cell, normalization in zip(axes[0], NORMALIZATIONS, strict=False):
        for factor, style in zip(FACTORS, ("-", "--", ":"), strict=True):
            group = [runs[normalization, factor, seed] for seed in seeds]
            ended = [run["loss"] for run in group if run["diverged"] is None] or [run["loss"] for run in group]
            length, diverged = (
                min(len(values) for _, values in ended),
                sum(run["diverged"] is not None for run in group),
            )
            if length:
                name = f"{factor} x {RATE:g}" + (f" ({diverged} diverged)" if diverged else "")
                steps, values = ended[0][0][:length], [values[:length] for _, values in ended]
                band(cell, steps, values, color=RATE_COLORS[factor], ls=style, label=name)
        cell.axhline(LEARNED, color="gray", linewidth=0.6)
        cell.set(yscale="log", xlim=(0, STEPS))
        label(cell, "step", "training loss (nats)", TITLES[normalization], "lower left")
    axes[0, 0].sharey(axes[0, 1])
    _speed(axes[0, 2], runs, seeds)
    return figure


def _speed(cell, runs, seeds):
    ours = [[steps_to_learn(runs["none", 1, s]) / steps_to_learn(runs["batch", f, s]) for s in seeds] for f in FACTORS]
    for position, values in enumerate(ours):
        there = [value for value in values if math.isfinite(value) and value > 0]
        color, name = RATE_COLORS[FACTORS[position]], None if position else "ours"
        cell.plot([position] * len(there), there, "o", color=color, label=name)
    cell.plot(range(3), PAPER_SPEED_UP.values(), "*", color=COLORS["paper"], markersize=8, label="Ioffe, Szegedy 2015")
    cell.axhline(1, color="gray", linewidth=0.6)
    cell.set(xticks=range(3), xticklabels=[f"{f} x" for f in FACTORS], xlim=(-0.5, 2.5), yscale="log", ylim=(0.1, 40))
    label(cell, "rate", "steps without / steps with", "how much sooner", "lower left")


def percentiles_picture(runs, seed) -> Figure:
    """Plots percentiles of three channels over steps, without and with normalization."""
    figure, axes = new_figure(3, 2, height=1.8, sharex=True, sharey="row")
    for row, normalization in enumerate(NORMALIZATIONS):
        run = runs[normalization, 1, seed]
        percentiles = np.array([found["percentiles"] for found in run["found"]])
        for channel in range(3):
            cell = axes[row, channel]
            low, median, high = percentiles[:, channel].T
            cell.fill_between(
                run["steps"], low, high, color=COLORS["B"], alpha=0.4, linewidth=0, label="percentile 15 to 85"
            )
            cell.plot(run["steps"], median, color=COLORS["residual"], marker=".", label="median")
            cell.axhline(0, color="gray", linewidth=0.6)
            units = "" if channel else f"{TITLES[normalization]}\nresponse"
            title = "" if row else f"channel {channel}"
            label(cell, "step" if row else "", units, title, None)
    legend_above(figure, 2)
    return figure
