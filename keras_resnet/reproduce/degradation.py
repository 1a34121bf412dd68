"""Compares plain and residual networks of increasing depth (figures 1, 4 and 6)."""

import statistics

from keras_resnet.analysis.complexity import read_complexities
from keras_resnet.paper_results import PUBLISHED
from keras_resnet.reproduce.experiment import Experiment, Training
from keras_resnet.reproduce.plots import COLORS, MARKERS, band, label, legend_above, new_figure, shades, spread
from keras_resnet.reproduce.report_page import (
    Check,
    Plot,
    ReportPage,
    Row,
    Table,
    check_lower,
    check_no_worse,
    ends_alike,
)

FAMILIES = ("plain", "residual")
NAMES = {"plain": "plain", "residual": "resnet", "highway": "highway"}
ALIKE = 2.0  # percentage points; allowed difference of the shallow pair, and excess of a deeper residual network

TEXT = """
Does a deeper network learn the training images at least as well, as it could by copying the shallower one and adding
identities? The paper's plain networks do not: from 20 to 110 layers their **training** error grows, so that this is not
overfitting but optimization. With shortcuts the same networks do.

Plain and residual networks of {depths} layers, option A, {seeds} seeds each, on {data}, all with one recipe
(`{config}`; a network that a file beside it is named after has that one, for its warm-up). *Training error* is that of
the varied training images in training mode over the last 5 % of the steps, *test error* that of the last weights on the
test images, *held-out error* that on the validation images, which are evaluated during training. Curves show the median
over the seeds, bands the least and the greatest.

A comparison holds where it does for every seed; "alike" and "no worse" allow {alike:g} points between means. All of
this was fixed before the first run.
"""


def network(family: str, depth: int) -> str:
    """Returns the model name of a family's network."""
    return f"cifar_{NAMES[family]}{depth}"


def trainings(experiment: Experiment, family: str, depth: int) -> list[Training]:
    """Returns the network's runs, one per seed."""
    return [Training(network(family, depth), seed) for seed in experiment.seeds]


def jobs(experiment: Experiment) -> list[Training]:
    """Returns the runs of every network with every seed."""
    return [each for family in FAMILIES for depth in experiment.depths for each in trainings(experiment, family, depth)]


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with errors over steps and depth, and checks of their order."""
    text = TEXT.format(
        depths=", ".join(map(str, experiment.depths)),
        seeds=len(experiment.seeds),
        data=experiment.data,
        config=experiment.config,
        alike=ALIKE,
    )
    rows = [row(experiment, trainings(experiment, family, depth)) for family in FAMILIES for depth in experiment.depths]
    return ReportPage(
        name="degradation",
        title="Degradation: deeper plain networks train worse, deeper residual networks do not (figures 1, 4, 6)",
        text=text,
        tables=[
            Table("", "Errors: mean, least and greatest over the seeds", rows),
            Table("seeds", "Every run's", [_run_row(experiment, run) for run in jobs(experiment)], listed=False),
        ],
        plots=[_curves(experiment), _over_depth(experiment)],
        checks=checks(experiment),
        seeds=experiment.seeds,
    )


def row(experiment: Experiment, runs: list[Training]) -> Row:
    """Returns a table row for the runs of one network with several seeds."""
    name = runs[0].network
    changes = " ".join(change.partition(".")[2] for change in runs[0].changes)
    train, test = [experiment.train_error(run) for run in runs], [experiment.test_error(run) for run in runs]
    published = PUBLISHED.get((name, "cifar10"), ())
    return {
        "network": f"{name} {changes}".strip(),
        "parameters": read_complexities()[name]["parameters"],
        "training error (%)": statistics.mean(train),
        "from": min(train),
        "to": max(train),
        "test error (%)": statistics.mean(test),
        "from ": min(test),
        "to ": max(test),
        "over all steps (%)": statistics.mean(map(experiment.mean_train_error, runs)),
        "the paper's, CIFAR-10 (%)": published[0].error if published else None,
        "seeds": len(runs),
        "rollbacks": sum(experiment.results(run)["rollbacks"] for run in runs),
    }


def _run_row(experiment, run) -> Row:
    return {
        "network": run.network,
        "seed": run.seed,
        "training error (%)": experiment.train_error(run),
        "test error (%)": experiment.test_error(run),
        "over all steps (%)": experiment.mean_train_error(run),
    }


def checks(experiment: Experiment) -> list[Check]:
    """Returns checks of the paper's claims on depth for which the experiment has the networks."""
    train = {
        (f, d): [experiment.train_error(t) for t in trainings(experiment, f, d)]
        for f in FAMILIES
        for d in experiment.depths
    }
    test = {
        (f, d): [experiment.test_error(t) for t in trainings(experiment, f, d)]
        for f in FAMILIES
        for d in experiment.depths
    }
    shallow, deeper, chance = experiment.depths[0], experiment.depths[1:], experiment.chance
    found = []
    for depth in deeper:
        low, high = train["plain", shallow], train["plain", depth]
        found.append(check_lower(f"plain-{depth} has a higher training error than plain-{shallow}", low, high, chance))
    for depth in deeper[-1:]:
        low, high = test["plain", shallow], test["plain", depth]
        found.append(check_lower(f"plain-{depth} has a higher test error than plain-{shallow}", low, high, chance))
    for depth in deeper:
        low, high = train["residual", depth], train["plain", depth]
        found.append(check_lower(f"ResNet-{depth} has a lower training error than plain-{depth}", low, high, chance))
    pair = test["residual", shallow], test["plain", shallow]
    found.append(ends_alike(f"ResNet-{shallow} and plain-{shallow} end alike (test error)", *pair, ALIKE, chance))
    faster = [
        [experiment.mean_train_error(run) for run in trainings(experiment, family, shallow)] for family in FAMILIES
    ]
    claim = f"ResNet-{shallow} converges faster than plain-{shallow} (training error over all steps)"
    found.append(check_lower(claim, faster[1], faster[0], chance))
    for depth in deeper:
        for kind, errors in (("training", train), ("test", test)):
            claim = f"ResNet-{depth} is no worse than ResNet-{shallow} ({kind} error)"
            found.append(check_no_worse(claim, errors["residual", depth], errors["residual", shallow], ALIKE, chance))
    return found


def _curves(experiment):
    figure, cells = new_figure(2, 2, height=2.5, sharex=True, sharey=True)
    metrics = (("train/error", "training error (%)"), ("validation/error", "held-out error (%)"))
    for cells_of_row, (name, unit) in zip(cells, metrics, strict=True):
        for axes, family in zip(cells_of_row, FAMILIES, strict=True):
            for depth, color in zip(experiment.depths, shades(len(experiment.depths)), strict=True):
                curves = [experiment.curve(run, name) for run in trainings(experiment, family, depth)]
                band(axes, curves[0][0], [values for _, values in curves], color=color, label=f"{depth} layers")
            title = family if name.startswith("train") else ""
            label(axes, "step", unit, title, None, ylim=(0, 100))
    legend_above(figure, len(experiment.depths))
    caption = "Errors over the steps: plain networks left, residual networks right; medians and ranges of the seeds."
    return Plot("curves", caption, figure)


def _over_depth(experiment):
    figure, ((left, right),) = new_figure(2, sharey=True)
    for family in FAMILIES:
        style = {"color": COLORS[family], "marker": MARKERS[family], "label": f"{family}, ours"}
        runs = [trainings(experiment, family, depth) for depth in experiment.depths]
        spread(left, experiment.depths, [[experiment.train_error(run) for run in each] for each in runs], **style)
        spread(right, experiment.depths, [[experiment.test_error(run) for run in each] for each in runs], **style)
    published = [PUBLISHED[network("residual", depth), "cifar10"][0].error for depth in experiment.depths]
    right.plot(experiment.depths, published, "k*", markersize=6, zorder=5, label="residual, the paper's (CIFAR-10)")
    if 110 in experiment.depths:
        right.plot([110], [60], "k^", markersize=6, fillstyle="none", label="plain-110, the paper's: above this")
    label(left, "layers", "training error (%)", f"training, {experiment.data}", None, ylim=(0, 100))
    label(right, "layers", "test error (%)", f"test, {experiment.data}", None, ylim=(0, 100))
    legend_above(figure, 2)
    caption = "Error at the end against depth; marks are means, bars reach from the least to the greatest seed."
    return Plot("depth", caption, figure)
