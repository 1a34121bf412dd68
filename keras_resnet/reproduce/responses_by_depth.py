"""Compares layer responses of plain and residual networks of several depths (figure 7)."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from keras_resnet.reproduce.degradation import trainings
from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training
from keras_resnet.reproduce.plots import COLORS, label, new_figure, shades
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Row, Table

FAMILIES = ("plain", "residual")
DEPTHS = (20, 56, 110)  # the paper's figure has no plain network of 110 layers
SEEDS = 2  # number of the experiment's seeds that are used
IMAGES = 256
LESS = 0.95  # "less" means below this share of the other median: initial networks have 1, within a percent or two

TEXT = """
How strong are the residual functions? The standard deviation of every 3x3 layer's output after batch normalization and
before the non-linearity or addition, over all channels and positions of {images} test images, by the moving averages,
as `keras_resnet.layer_responses(model, images)` gives it for any model. The paper finds (figure 7) that residual
networks respond less than plain ones, so that residual functions are nearer to zero, and that in a deeper ResNet every
layer changes the signal less.

Plain and residual networks of {depths} layers, trained by the recipe (`{config}`) as for `reproduce degradation`, seeds
{seeds}. A comparison is of medians over layers and holds where one is below {less:.0%} of the other for every seed. The
paper's figure has curves and no numbers, so that there are no marks here. All of this was fixed before the first
measurement, but that networks that learned nothing are in no order.
"""


def depths_of(experiment: Experiment) -> tuple[int, ...]:
    """Returns those of the paper's three depths that the experiment has, or all its depths if it has none of them."""
    return tuple(depth for depth in experiment.depths if depth in DEPTHS) or experiment.depths


def measurement(training: Training) -> Measurement:
    """Returns the job that measures the responses of a trained network."""
    arguments = (("network", training.network), ("seed", training.seed))
    return Measurement(
        "keras_resnet.reproduce.responses_by_depth:trained_responses", arguments, (training,), seconds=8.0
    )


def all_jobs(experiment: Experiment) -> dict[tuple[str, int, int], Measurement]:
    """Returns {(family, depth, seed): measurement}."""
    return {
        (family, depth, training.seed): measurement(training)
        for family in FAMILIES
        for depth in depths_of(experiment)
        for training in trainings(experiment, family, depth)[:SEEDS]
    }


def jobs(experiment: Experiment) -> list[Job]:
    """Returns the measurements, which name the runs that they need."""
    return list(all_jobs(experiment).values())


def trained_responses(experiment: Experiment, network: str, seed: int) -> dict[str, list]:
    """Returns {"layer": names, "std": standard deviations of their responses} for the last weights of a run."""
    from keras_resnet.analysis.layer_responses import layer_responses
    from keras_resnet.reproduce.worker import images_of_test, trained_model
    from keras_resnet.task import load_task

    training = Training(network, seed)
    task = load_task(experiment.config_of(training))
    found = layer_responses(trained_model(task, experiment.folder(training)), images_of_test(task, IMAGES))
    return {"layer": found["layer"].tolist(), "std": found["std"].tolist()}


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with the findings."""
    found = {kind: np.array(experiment.answer(job)["std"]) for kind, job in all_jobs(experiment).items()}
    depths, seeds = depths_of(experiment), experiment.seeds[:SEEDS]
    text = TEXT.format(
        images=IMAGES,
        depths=", ".join(map(str, depths)),
        config=experiment.config,
        seeds=", ".join(map(str, seeds)),
        less=LESS,
    )
    caption = f"Above in the order of the layers, below sorted by strength; seed {seeds[0]}."
    return ReportPage(
        *("responses", "Layer responses (figure 7)", text),
        tables=[
            Table("", "Standard deviations of responses", rows(found)),
            Table("layers", "Every layer's", layer_rows(experiment), listed=False),
        ],
        plots=[Plot("", caption, picture(found, depths, seeds[0]))],
        checks=checks(found, depths, seeds, _learnt(experiment, depths, seeds)),
        seeds=seeds,
    )


def rows(found) -> list[Row]:
    """Returns a row per network and seed."""
    return [
        {
            "network": f"{family} {depth}",
            "seed": seed,
            "layers": len(std),
            "least": float(std.min()),
            "median": float(np.median(std)),
            "mean": float(std.mean()),
            "greatest": float(std.max()),
        }
        for (family, depth, seed), std in found.items()
    ]


def layer_rows(experiment: Experiment) -> list[Row]:
    """Returns a row per layer of every network, in the network's order."""
    return [
        {"network": f"{family} {depth}", "seed": seed, "layer": layer, "std": std}
        for (family, depth, seed), job in all_jobs(experiment).items()
        for layer, std in zip(*experiment.answer(job).values(), strict=True)
    ]


def _learnt(experiment, depths, seeds):
    """Returns the networks (family, depth) that learned with every seed."""
    kinds = itertools.product(FAMILIES, depths)
    runs = {kind: [run for run in trainings(experiment, *kind) if run.seed in seeds] for kind in kinds}
    return {kind for kind, each in runs.items() if max(map(experiment.train_error, each)) < experiment.chance / 2}


def checks(found, depths, seeds, learned) -> list[Check]:
    """Checks, for networks that learned, residual below plain at each depth, and deeper below shallower residual."""
    medians = {kind: float(np.median(std)) for kind, std in found.items()}

    def less(claim, low, high):
        """Checks that the responses of `low` are below those of `high`; both are (family, depth)."""
        pairs = [(medians[(*low, seed)], medians[(*high, seed)]) for seed in seeds]
        values = "; ".join(f"{a:.3f} against {b:.3f}" for a, b in pairs) + f"; allowed {LESS:.0%} of it"
        comparable = learned >= {low, high}
        note = "" if comparable else "; nothing was learned that could be compared"
        return Check(claim, comparable and all(a < LESS * b for a, b in pairs), values + note)

    return [
        *(
            less(
                f"With {depth} layers the residual network responds less than the plain one",
                ("residual", depth),
                ("plain", depth),
            )
            for depth in depths
        ),
        *(
            less(
                f"The residual network of {deep} layers responds less than that of {shallow}",
                ("residual", deep),
                ("residual", shallow),
            )
            for shallow, deep in itertools.pairwise(depths)
        ),
    ]


def picture(found, depths, seed) -> Figure:
    """Plots responses in layer order (top) and sorted (bottom); residual (left), plain and residual (right)."""
    figure, axes = new_figure(2, 2, height=2.3, sharey="col")
    for column, families in enumerate((("residual",), FAMILIES)):
        for family in families:
            for depth, shade, style in zip(depths, shades(len(depths)), ("-", "--", ":"), strict=False):
                std = found[family, depth, seed]
                color = COLORS[family] if column else shade
                for row, values in enumerate((std, np.sort(std)[::-1])):
                    axes[row, column].plot(
                        range(1, len(std) + 1), values, style, color=color, label=f"{family} {depth}"
                    )
        axes[0, column].set_yscale("log")
        for axis in (axes[0, column].yaxis, axes[1, column].yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("{x:g}" if column == 0 else NullFormatter())
        title = ("residual networks, by depth", "plain beside residual networks")[column]
        units = "std of the response" if not column else ""
        label(axes[0, column], "layer, in the network's order", units, title, None)
        label(axes[1, column], "layer, sorted by strength", units)
    return figure
