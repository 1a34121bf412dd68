"""Tests whether vanishing signals explain the failure of plain networks, and what causes them (section 4.1)."""

import itertools

import numpy as np

from keras_resnet.reproduce.experiment import Experiment, Job, Measurement
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Row, Table
from keras_resnet.reproduce.signal_propagation import (
    IMAGES,
    INITIALIZATIONS,
    PROBE_EVERY,
    PROBED_IMAGES,
    RATE,
    SIDE,
    STEPS,
    TRAINED,
    heat_map,
    initial,
    over_depth,
    trained,
    while_training,
)

FAMILIES, NORMALIZATIONS, ACTIVATIONS = ("plain", "residual"), ("none", "batch"), ("relu", "sigmoid")
SHALLOW = 8  # layers of the family's smallest network, added to the experiment's depths
TRAINED_SEEDS = 2  # number of the experiment's seeds that the short runs use
STRONG = 3.0  # decades; a signal counts as vanished or exploded beyond this change
HEALTHY = 1.0  # decades that a signal may lose over the whole network
ALIKE = 0.3  # decades; allowed difference between initializations with batch normalization

TEXT = """
How strong are the signals in every layer, forward and backward? *Activation* is the root mean square of what a 3x3
layer reads, *gradient* the Euclidean norm of the loss's gradient by its output. Their ratio between the first and the
last 3x3 layer is given in decades (log10): negative, the signal vanishes on its way; positive, it explodes.

**At initialization**: networks of {depths} layers, seed {seed}, one batch of {images} training images resized to the
paper's {side} x {side} pixels, in training mode, with and without batch normalization, ReLU and sigmoid, and four
initializations: He's deviation (variance 2 / fan-out), half of it (small), twice (large), Xavier's.
**In training**: plain and residual networks of 20 and 56 layers, {steps} steps at a rate of {rate:g}, otherwise by the
recipe (`{config}`), seeds {seeds}; measured at 0 and every {every} steps on {probed} training images. The loss is the
mean over the first or last fifth of the steps.

The paper (section 4.1) trains with batch normalization, verifies "healthy norms" of the gradients and concludes that
neither forward nor backward signals vanish. It gives no numbers; here a signal vanishes that loses more than a factor
of 10 over the network. For wide plain networks with batch normalization and ReLU, theory predicts gradients that grow
by sqrt(pi / (pi - 1)) = 1.21 a layer towards the input (Yang et al. 2019): they explode rather than vanish. What
float32 cannot hold counts as 1e-45 or 1e39. Networks, seeds, steps and limits were fixed before the first run.
"""

FIXED = {"images": IMAGES, "side": SIDE, "steps": STEPS, "rate": RATE, "every": PROBE_EVERY, "probed": PROBED_IMAGES}


def depths_of(experiment: Experiment) -> tuple[int, ...]:
    """Returns the depths of the networks that are measured at initialization."""
    return (SHALLOW, *experiment.depths)


def initial_jobs(experiment: Experiment) -> dict[tuple[str, str, str], Measurement]:
    """Returns {(family, normalization, activation): measurement}."""
    kinds = itertools.product(FAMILIES, NORMALIZATIONS, ACTIVATIONS)
    return {kind: initial(*kind, depths_of(experiment), experiment.seeds[0]) for kind in kinds}


def trained_jobs(experiment: Experiment) -> dict[tuple[str, int, str, int], Measurement]:
    """Returns {(family, depth, normalization, seed): measurement}."""
    kinds = itertools.product(TRAINED, NORMALIZATIONS, experiment.seeds[:TRAINED_SEEDS])
    return {
        (*network, normalization, seed): trained(*network, normalization, seed)
        for network, normalization, seed in kinds
    }


def jobs(experiment: Experiment) -> list[Job]:
    """Returns the measurements at initialization and during training."""
    return [*initial_jobs(experiment).values(), *trained_jobs(experiment).values()]


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with the findings."""
    depths, seeds = depths_of(experiment), experiment.seeds[:TRAINED_SEEDS]
    fresh = {kind: experiment.answer(job) for kind, job in initial_jobs(experiment).items()}
    runs = {kind: experiment.answer(job) for kind, job in trained_jobs(experiment).items()}
    here = {
        "depths": _series(depths),
        "seed": experiment.seeds[0],
        "seeds": _series(seeds),
        "config": experiment.config,
    }
    pictures = [
        Plot("depth", "Signals over the whole network against its depth, ReLU, at initialization.", over_depth(fresh)),
        *(
            Plot(f"map-{activation}", MAP.format(activation=NAMES[activation]), heat_map(fresh, activation))
            for activation in ACTIVATIONS
        ),
        Plot("training", WHILE.format(seed=seeds[0]), while_training(runs, seeds[0])),
    ]
    tables = [
        Table("initialization", "Decades of gradient from the last to the first layer", initial_rows(fresh, depths)),
        Table("training", "The short trainings", trained_rows(runs)),
    ]
    checks = [*initial_checks(fresh, depths), *trained_checks(runs, seeds, experiment.chance)]
    return ReportPage(
        "gradients",
        "Vanishing and exploding signals (section 4.1)",
        TEXT.format(**here, **FIXED),
        tables,
        pictures,
        checks,
        seeds,
    )


NAMES = {"relu": "ReLU", "sigmoid": "sigmoid", "none": "no normalization", "batch": "batch normalization"}
MAP = "Gradients of every layer at initialization, {activation}; rows are networks, their first layer at the left."
WHILE = "Gradients of every layer in training, seed {seed}; dark lines are later, and what leaves the frame below is 0."


def decades(norms: dict[str, list[float]], signal: str = "gradient") -> float:
    """Returns the change of gradients from the last layer to the first, or of activations from first to last."""
    change = norms[signal][0] - norms[signal][-1]
    return change if signal == "gradient" else -change


def initial_rows(fresh, depths) -> list[Row]:
    """Returns a row per activation, normalization and initialization."""
    shown = sorted({depths[0], depths[len(depths) // 2], depths[-1]})
    rows: list[Row] = []
    for activation, normalization, name in itertools.product(ACTIVATIONS, NORMALIZATIONS, INITIALIZATIONS):
        row: Row = {"activation": NAMES[activation], "normalization": normalization, "initialization": name}
        for family, depth in itertools.product(FAMILIES, shown):
            row[f"{family} {depth}"] = round(decades(fresh[family, normalization, activation][name][str(depth)]), 2)
        rows.append(row)
    return rows


def trained_rows(runs) -> list[Row]:
    """Returns a row per run."""
    rows: list[Row] = []
    for (family, depth, normalization, seed), run in runs.items():
        start, end = losses(run)
        rows.append(
            {
                "network": f"{family} {depth}",
                "normalization": normalization,
                "seed": seed,
                "loss of the first steps": start,
                "loss of the last steps": end,
                "diverged at step": run["diverged"],
                "least gradient (decades)": round(min(map(decades, run["found"])), 2),
                "greatest gradient (decades)": round(max(map(decades, run["found"])), 2),
            }
        )
    return rows


def losses(run) -> tuple[float, float]:
    """Returns the mean training loss of the first and the last fifth of the steps; infinity if the run diverges."""
    _, values = run["loss"]
    fifth = max(len(values) // 5, 1)
    end = float(np.mean(values[-fifth:])) if values and run["diverged"] is None else float("inf")
    return (float(np.mean(values[:fifth])) if values else float("inf")), end


def initial_checks(fresh, depths) -> list[Check]:
    """Returns the checks on networks at initialization."""

    def over(kind, name, signal="gradient"):
        return [decades(fresh[kind][name][str(depth)], signal) for depth in depths]

    bare, normed = ("plain", "none", "relu"), [(family, "batch", "relu") for family in FAMILIES]
    small, large = over(bare, "small"), over(bare, "large")
    deepest = {name: over(bare, name)[-1] for name in INITIALIZATIONS}
    sigmoid = [over(("plain", "none", "sigmoid"), name)[-1] for name in INITIALIZATIONS]
    alike = max(
        np.ptp([over(kind, name) for name in INITIALIZATIONS], axis=0).max() for kind in normed
    )  # difference between initializations
    weakest = min(min(over(kind, name, signal)) for kind in normed for name in INITIALIZATIONS for signal in SIGNALS)
    plain, residual = (over(kind, "he") for kind in normed)
    return [
        Check(
            "Without normalization, half of He's standard deviation makes the gradients of plain ReLU networks vanish, "
            "the more the deeper",
            _falls(small) and small[-1] < -STRONG,
            _listed(depths, small),
        ),
        Check(
            "Twice of it makes them explode", _falls([-x for x in large]) and large[-1] > STRONG, _listed(depths, large)
        ),
        Check(
            f"He's keeps them nearest to even at {depths[-1]} layers",
            min(deepest, key=lambda name: abs(deepest[name])) == "he",
            ", ".join(f"{name} {value:+.1f}" for name, value in deepest.items()),
        ),
        Check(
            f"With sigmoids they vanish at every initialization, at {depths[-1]} layers",
            max(sigmoid) < -STRONG,
            ", ".join(f"{name} {value:+.1f}" for name, value in zip(INITIALIZATIONS, sigmoid, strict=True)),
        ),
        Check(
            "Batch normalization makes the initialization's scale indifferent, plain and residual",
            alike < ALIKE,
            f"at most {alike:.2f} decades apart, allowed {ALIKE:g}",
        ),
        Check(
            "With batch normalization neither forward nor backward signals vanish (section 4.1)",
            weakest > -HEALTHY,
            f"least {weakest:+.2f} decades over depths, initializations, plain and residual; allowed {-HEALTHY:+g}",
        ),
        Check(
            "With it, residual networks have more even gradients than plain networks of equal depth",
            bool(np.less(np.abs(residual), np.abs(plain)).all()),
            f"residual {_listed(depths, residual)}; plain {_listed(depths, plain)}",
        ),
    ]


SIGNALS = ("gradient", "activation")


def trained_checks(runs, seeds, chance_error: float) -> list[Check]:
    """Returns the checks on networks in training; none holds if no network learns."""
    chance = -np.log(1 - chance_error / 100)  # cross entropy at chance
    ends = {kind: losses(run)[1] for kind, run in runs.items()}
    least = min(decades(found) for seed in seeds for found in runs["plain", 56, "batch", seed]["found"])
    plain, residual = ([ends[family, 56, "batch", seed] for seed in seeds] for family in FAMILIES)
    bare, normed = ([ends["plain", 20, each, seed] for seed in seeds] for each in NORMALIZATIONS)
    return [
        Check(
            "The deep plain network learns worse than the residual one though its gradients do not vanish",
            least > -HEALTHY and all(b < a and b < chance / 2 for a, b in zip(plain, residual, strict=True)),
            f"loss of plain-56 {_numbers(plain)}, of ResNet-56 {_numbers(residual)}; gradient of plain-56 at least "
            f"{least:+.2f} decades at every measurement",
        ),
        Check(
            "A plain network of 20 layers learns with batch normalization and does not without, at the same rate",
            all(a > 0.9 * chance and b < chance / 2 for a, b in zip(bare, normed, strict=True)),
            f"loss without {_numbers(bare)}, with {_numbers(normed)}; chance {chance:.2f}",
        ),
    ]


def _falls(values):
    return bool((np.diff(values) < 0).all())


def _listed(depths, values):
    return ", ".join(f"{depth} layers {value:+.1f}" for depth, value in zip(depths, values, strict=True))


def _series(values):
    return ", ".join(map(str, values))


def _numbers(values):
    return " and ".join(f"{value:.2f}" for value in values)
