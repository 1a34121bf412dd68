"""Measures the signals in every layer at initialization and during training, and plots them, for `gradients`."""

import math
from dataclasses import replace

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from keras_resnet.reproduce.experiment import Experiment, Measurement, Training
from keras_resnet.reproduce.plots import COLORS, MARKERS, label, new_figure, shades
from keras_resnet.reproduce.worker import images_and_labels, probe_run, short
from keras_resnet.specs import SPECS, variant

INITIALIZATIONS = ("small", "xavier", "he", "large")
SIDE = 32  # pixels; image size at initialization, as in the paper. On smaller images zero padding matters more.
IMAGES, PROBED_IMAGES = 16, 64
STEPS, PROBE_EVERY, RATE = 200, 40, 0.01  # of the short runs
SMALLEST, LARGEST = 1e-45, 1e39  # about the smallest positive float32, and a value above the largest

MERGES = {"plain": "cifar_plain20", "residual": "cifar_resnet20"}
TRAINED = {("plain", 20): "cifar_plain20", ("plain", 56): "cifar_plain56"}
TRAINED |= {("residual", 20): "cifar_resnet20", ("residual", 56): "cifar_resnet56"}

INITIALIZATION_COLORS = dict(zip(INITIALIZATIONS, ("#56B4E9", "#E69F00", "#0072B2", "#CC79A7"), strict=True))
LIMIT = 8.0  # decades; limit of the color scale
BOTTOM = -12.0  # log10 of the smallest gradient in the plot
NAMES = {"none": "no normalization", "batch": "batch norm."}
THEORY = np.log10(np.sqrt(np.pi / (np.pi - 1)))  # decades per layer: Yang et al. 2019, ReLU, wide networks


def initial(family: str, normalization: str, activation: str, depths: tuple[int, ...], seed: int) -> Measurement:
    """Returns the job that measures untrained networks of several depths, with every initialization."""
    arguments = (("family", family), ("normalization", normalization), ("activation", activation))
    arguments += (("depths", depths), ("seed", seed))  # type: ignore[assignment]
    return Measurement("keras_resnet.reproduce.signal_propagation:initial_norms", arguments, seconds=0.1 * sum(depths))


def trained(family: str, depth: int, normalization: str, seed: int) -> Measurement:
    """Returns the job that measures a network during training."""
    arguments = (("family", family), ("depth", depth), ("normalization", normalization), ("seed", seed))
    return Measurement(
        "keras_resnet.reproduce.signal_propagation:norms_in_training", arguments, seconds=10 + 0.4 * depth
    )


def initial_norms(
    experiment: Experiment, family: str, normalization: str, activation: str, depths: list[int], seed: int
) -> dict[str, dict[str, dict]]:
    """Builds networks and measures them in training mode on a batch.

    Returns:
        {initialization: {depth: result of `norms`}}.
    """
    import keras

    from keras_resnet.builder import build
    from keras_resnet.task import load_task

    row = MERGES[family]
    task = load_task(experiment.config_of(Training(row, seed, (f"data.image_size={SIDE}",))))
    images, labels = images_and_labels(task, IMAGES)
    found: dict[str, dict[str, dict]] = {name: {} for name in INITIALIZATIONS}
    for initialization in INITIALIZATIONS:
        axes: dict = {"normalization": normalization, "activation": activation, "initialization": initialization}
        for depth in depths:
            keras.utils.set_random_seed(seed)
            spec = variant(replace(SPECS[row], depths=((depth - 2) // 6,) * 3), **axes)
            model = build(spec, classes=len(task.labels), input_shape=images.shape[1:])
            found[initialization][str(depth)] = norms(model, images, labels)
            keras.backend.clear_session()
    return found


def norms_in_training(experiment: Experiment, family: str, depth: int, normalization: str, seed: int) -> dict:
    """Trains a network for `STEPS` steps and measures it at every checkpoint; returns the result of `probe_run`."""
    from keras_resnet.task import load_task

    changes = (f"model.normalization={normalization}", f"train.learning_rate={RATE}")
    training = Training(TRAINED[family, depth], seed, short(STEPS, PROBE_EVERY, *changes))
    images, labels = images_and_labels(load_task(experiment.config_of(training)), PROBED_IMAGES)
    return probe_run(experiment, training, lambda model: norms(model, images, labels))


def norms(model, images: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """Returns log10 of the signals of each 3x3 layer, in the graph's order.

    Returns:
        {"activation": root mean square of the layer's input, "gradient": norm of the loss's gradient with respect to
        its output, "kernel": the same with respect to its kernel}. Values are clipped to [`SMALLEST`, `LARGEST`]
        before log10; NaN counts as `LARGEST`.
    """
    from keras_resnet.analysis.norms import activation_norms, gradient_norms

    activations, gradients = activation_norms(model, images), gradient_norms(model, images, labels)
    kept = [i for i, name in enumerate(gradients["layer"]) if "conv" in name]
    columns = {"activation": activations["input"], "gradient": gradients["output"], "kernel": gradients["kernel"]}
    return {name: [_log(value) for value in column[kept]] for name, column in columns.items()}


def _log(value):
    return round(math.log10(min(max(value, SMALLEST), LARGEST) if value == value else LARGEST), 4)


def over_depth(fresh) -> Figure:
    """Plots the decades of gradients and activations against depth; one column per normalization."""
    figure, axes = new_figure(2, 2, height=2.3, sharex=True)
    for column, normalization in enumerate(("none", "batch")):
        for row, signal in enumerate(("gradient", "activation")):
            cell = axes[row, column]
            for family, style in (("plain", "-"), ("residual", "--")):
                answers = fresh[family, normalization, "relu"]
                for name in INITIALIZATIONS:
                    depths = sorted(map(int, answers[name]))
                    ends = [answers[name][str(depth)][signal] for depth in depths]
                    values = [(each[0] - each[-1]) * (1 if signal == "gradient" else -1) for each in ends]
                    cell.plot(
                        *(depths, values, style),
                        color=INITIALIZATION_COLORS[name],
                        marker=MARKERS[family],
                        markersize=3.5,
                        label=f"{family}, {name}" if (row, column) == (0, 0) else None,
                    )
            cell.axhline(0, color="black", linewidth=0.6)
            if signal == "gradient" and normalization == "batch":
                layers = np.array([depths[0], depths[-1]])
                cell.plot(
                    layers, (layers - 2) * THEORY, ":", color=COLORS["paper"], label="theory, plain: x 1.21 a layer"
                )
        title = {"none": "no normalization", "batch": "batch normalization"}[normalization]
        gradient, activation = (
            "gradient, first over\nlast layer (decades)",
            "activation, last over\nfirst layer (decades)",
        )
        label(axes[0, column], "", "" if column else gradient, title, "upper left" if column else None)
        label(axes[1, column], "layers", "" if column else activation, legend=None)
    axes[1, 1].set_ylim(-1, 1)
    legend_below(figure, axes[0, 0], 4)
    return figure


def heat_map(fresh, activation: str) -> Figure:
    """Plots gradients relative to the last layer's, over layers (x) and networks of increasing depth (y, downwards)."""
    kinds = [(family, normalization) for family in ("plain", "residual") for normalization in ("none", "batch")]
    figure, axes = new_figure(len(INITIALIZATIONS), len(kinds), height=1.25, sharex=True, sharey=True)
    colors = matplotlib.colormaps["PuOr_r"]
    for row, kind in enumerate(kinds):
        for column, name in enumerate(INITIALIZATIONS):
            cell, answers = axes[row, column], fresh[(*kind, activation)][name]
            depths = sorted(map(int, answers))
            relative = [np.array(answers[str(depth)]["gradient"]) for depth in depths]
            stretched = np.array(
                [np.interp(np.linspace(0, 1, 109), np.linspace(0, 1, len(g)), g - g[-1]) for g in relative]
            )
            image = cell.imshow(
                stretched,
                aspect="auto",
                interpolation="nearest",
                cmap=colors,
                vmin=-LIMIT,
                vmax=LIMIT,
                extent=(0, 1, len(depths), 0),
            )
            cell.set(xticks=[0, 0.5, 1], yticks=np.arange(len(depths)) + 0.5, yticklabels=depths)
            cell.tick_params(labelsize=6)
            cell.grid(visible=False)
            units = "" if column else f"{kind[0]}\n{NAMES[kind[1]]}\nlayers"
            label(cell, "first to last layer" if row == 3 else "", units, "" if row else name, None)
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.6, aspect=30)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("gradient relative to the last layer's (decades)", fontsize=7)
    return figure


def while_training(runs, seed: int) -> Figure:
    """Plots gradients over layers, one line per measurement; one row per normalization, one column per network."""
    networks = sorted({(depth, family) for family, depth, *_ in runs})
    figure, axes = new_figure(len(networks), 2, height=2.0, sharey="row")
    for row, normalization in enumerate(("batch", "none")):
        for column, (depth, family) in enumerate(networks):
            cell, run = axes[row, column], runs[family, depth, normalization, seed]
            for step, found, color in zip(run["steps"], run["found"], shades(len(run["steps"])), strict=True):
                cell.plot(range(1, len(found["gradient"]) + 1), found["gradient"], color=color, label=f"step {step}")
            ended = "" if run["diverged"] is None else f"\ndiverged at step {run['diverged']}"
            units = "" if column else f"{NAMES[normalization]}\ngradient (log10)"
            label(cell, "3x3 layer" if row else "", units, ("" if row else f"{family} {depth}") + ended, None)
    if min(min(found["gradient"]) for run in runs.values() for found in run["found"]) < BOTTOM:
        axes[1, 0].set_ylim(BOTTOM, 2)
    longest = max(axes.ravel(), key=lambda cell: len(cell.lines))
    legend_below(figure, longest, 6)
    return figure


def legend_below(figure: Figure, axes, columns: int) -> None:
    """Adds one legend for all axes below them."""
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=7)
