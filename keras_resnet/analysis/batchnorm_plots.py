"""Plots of batch normalization: losses at several learning rates, and percentiles over steps."""

import math

import numpy as np
from matplotlib.figure import Figure

from keras_resnet.analysis.batchnorm import FACTORS, LEARNED, NORMALIZATIONS, RATE, STEPS, steps_to_learn
from keras_resnet.analysis.plots import COLORS, band, label, legend_above, new_figure

# Ioffe and Szegedy 2015, figure 3: ratio of the steps (in millions) to 72.2 % with Inception, without over with
PUBLISHED = {1: 31.0 / 13.3, 5: 31.0 / 2.1, 30: 31.0 / 2.7}
RATE_COLORS = dict(zip(FACTORS, ("#0072B2", "#E69F00", "#CC79A7"), strict=True))
TITLES = {"none": "no normalization", "batch": "batch normalization"}


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
    cell.plot(range(3), PUBLISHED.values(), "*", color=COLORS["paper"], markersize=8, label="Ioffe, Szegedy 2015")
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
