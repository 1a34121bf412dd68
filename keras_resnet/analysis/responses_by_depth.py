"""Figure 7: layer responses of plain and residual nets, shallower and deeper."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from keras_resnet.analysis.checks import Check
from keras_resnet.analysis.degradation import trainings
from keras_resnet.analysis.page import Page, Picture, Row, Table
from keras_resnet.analysis.plots import COLORS, label, new_figure, shades
from keras_resnet.analysis.study import Job, Measurement, Study, Training

FAMILIES = ("plain", "residual")
DEPTHS = (20, 56, 110)  # the paper's figure has no plain net of 110
SEEDS = 2  # of the study's
IMAGES = 256
LESS = 0.95  # of the other's median, to count as less: fresh nets all have 1, give or take a percent or two

TEXT = """
How strong are the residual functions? The standard deviation of every 3x3 layer's output after batch normalization and
before the non-linearity or addition, over all channels and positions of {images} test images, by the moving averages,
as `keras_resnet.responses(model, images)` gives it for any model. The paper finds (figure 7) that residual nets respond
less than plain ones, so that residual functions are nearer to zero, and that in a deeper ResNet every layer changes the
signal less.

Plain and residual nets of {depths} layers, trained by the recipe (`{config}`) as in the degradation's analysis, seeds
{seeds}. A comparison is of medians over layers and holds where one is below {less:.0%} of the other for every seed.
The paper's figure has curves and no numbers, so that there are no marks here. All of this was fixed before the first
measurement, but that nets that learnt nothing are in no order.
"""


def depths_of(study: Study) -> tuple[int, ...]:
    """The paper's three, as far as the study has them; all of the study's where it has none of these."""
    return tuple(depth for depth in study.depths if depth in DEPTHS) or study.depths


def measurement(training: Training) -> Measurement:
    """Responses of a trained net."""
    arguments = (("network", training.network), ("seed", training.seed))
    return Measurement(
        "keras_resnet.analysis.responses_by_depth:trained_responses", arguments, (training,), seconds=8.0
    )


def all_jobs(study: Study) -> dict[tuple[str, int, int], Measurement]:
    """{(family, depth, seed): measurement}."""
    return {
        (family, depth, training.seed): measurement(training)
        for family in FAMILIES
        for depth in depths_of(study)
        for training in trainings(study, family, depth)[:SEEDS]
    }


def jobs(study: Study) -> list[Job]:
    """Measurements; the runs that they read are made before them."""
    return list(all_jobs(study).values())


def trained_responses(study: Study, network: str, seed: int) -> dict[str, list]:
    """{"layer": names, "std": of their responses} of the last weights of a run."""
    from keras_resnet.analysis.responses import responses
    from keras_resnet.analysis.worker import images_of_test, trained_model
    from keras_resnet.task import load_task

    training = Training(network, seed)
    task = load_task(study.config_of(training))
    found = responses(trained_model(task, study.folder(training)), images_of_test(task, IMAGES))
    return {"layer": found["layer"].tolist(), "std": found["std"].tolist()}


def page(study: Study) -> Page:
    """The findings."""
    found = {kind: np.array(study.answer(job)["std"]) for kind, job in all_jobs(study).items()}
    depths, seeds = depths_of(study), study.seeds[:SEEDS]
    text = TEXT.format(
        images=IMAGES,
        depths=", ".join(map(str, depths)),
        config=study.config,
        seeds=", ".join(map(str, seeds)),
        less=LESS,
    )
    caption = f"Above in the order of the layers, below sorted by strength; seed {seeds[0]}."
    return Page(
        *("responses", "Layer responses (figure 7)", text),
        tables=[
            Table("", "Standard deviations of responses", rows(found)),
            Table("layers", "Every layer's", layer_rows(study), listed=False),
        ],
        pictures=[Picture("", caption, picture(found, depths, seeds[0]))],
        checks=checks(found, depths, seeds, _learnt(study, depths, seeds)),
        seeds=seeds,
    )


def rows(found) -> list[Row]:
    """A row per net."""
    return [
        {
            "net": f"{family} {depth}",
            "seed": seed,
            "layers": len(std),
            "least": float(std.min()),
            "median": float(np.median(std)),
            "mean": float(std.mean()),
            "greatest": float(std.max()),
        }
        for (family, depth, seed), std in found.items()
    ]


def layer_rows(study: Study) -> list[Row]:
    """A row per layer of every net, in the network's order."""
    return [
        {"net": f"{family} {depth}", "seed": seed, "layer": layer, "std": std}
        for (family, depth, seed), job in all_jobs(study).items()
        for layer, std in zip(*study.answer(job).values(), strict=True)
    ]


def _learnt(study, depths, seeds):
    """The nets, (family, depth), that learnt something with every seed."""
    kinds = itertools.product(FAMILIES, depths)
    runs = {kind: [run for run in trainings(study, *kind) if run.seed in seeds] for kind in kinds}
    return {kind for kind, each in runs.items() if max(map(study.train_error, each)) < study.chance / 2}


def checks(found, depths, seeds, learnt) -> list[Check]:
    """Residual below plain at every depth; the deeper residual net below the shallower; of nets that learnt."""
    medians = {kind: float(np.median(std)) for kind, std in found.items()}

    def less(claim, low, high):
        """`low` and `high`: (family, depth)."""
        pairs = [(medians[(*low, seed)], medians[(*high, seed)]) for seed in seeds]
        figures = "; ".join(f"{a:.3f} against {b:.3f}" for a, b in pairs) + f"; allowed {LESS:.0%} of it"
        comparable = learnt >= {low, high}
        note = "" if comparable else "; nothing was learnt that could be compared"
        return Check(claim, comparable and all(a < LESS * b for a, b in pairs), figures + note)

    return [
        *(
            less(
                f"With {depth} layers the residual net responds less than the plain one",
                ("residual", depth),
                ("plain", depth),
            )
            for depth in depths
        ),
        *(
            less(
                f"The residual net of {deep} layers responds less than that of {shallow}",
                ("residual", deep),
                ("residual", shallow),
            )
            for shallow, deep in itertools.pairwise(depths)
        ),
    ]


def picture(found, depths, seed) -> Figure:
    """Original order above, sorted below; residual at the left, plain and residual at the right."""
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
        title = ("residual nets, by depth", "plain beside residual nets")[column]
        units = "std of the response" if not column else ""
        label(axes[0, column], "layer, in the network's order", units, title, None)
        label(axes[1, column], "layer, sorted by strength", units)
    return figure
