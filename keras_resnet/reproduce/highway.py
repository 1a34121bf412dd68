"""Compares highway with residual and plain networks at equal depth and equal parameters, and measures gates."""

import numpy as np

from keras_resnet.analysis.complexity import read_complexities
from keras_resnet.paper_results import PUBLISHED
from keras_resnet.reproduce import degradation
from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training
from keras_resnet.reproduce.plots import COLORS, MARKERS, label, legend_above, new_figure, shades, spread
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Table, check_lower, check_no_worse
from keras_resnet.specs import CIFAR_DEPTHS

SEEDS = 3  # number of the experiment's seeds that are used; a gate makes a step 50 % slower
IMAGES = 256  # images that the gates are measured on
MARGIN = 2.0  # percentage points that "no worse" allows
SAME_PARAMETERS = 0.15
FAMILIES = ("plain", "residual", "highway")
# He et al. 2015, table 6, after Srivastava et al. 2015: millions of parameters, error on CIFAR-10
PAPER_HIGHWAY = {"Highway-19": (2.3, 7.54), "Highway-32": (1.25, 8.80)}

TEXT = """
A highway network multiplies the two branches of a block with gates that it learns, T and 1 - T, where a residual
network adds them. Is that better, at equal depth and at equal parameters? The paper (section 2) remarks that highway
networks have shown no gain beyond 100 layers, and (table 6) that residual networks reach lower errors with fewer
parameters.

Plain, residual and highway networks of {depths} layers on {data} with one recipe (`{config}`), {seeds} seeds each. The
highway networks are the residual ones with a 3x3 convolution as gate in every block, biased so that 0.12 of F passes at
first; they keep the normalization, which Srivastava et al. do not have. Gates are those of the first seed's last
weights on {images} test images; a gate is *closed* below 0.1. "No worse" allows {margin:g} points; networks are
compared at equal parameters where there are two within {same:.0%}. All of this was fixed before the first run, but that
"no gain" asks for a network of 110 layers that learned: one that learns nothing gains nothing either, as in the first
run.
"""


def trainings(experiment: Experiment, depth: int) -> list[Training]:
    """Returns the runs of a highway network."""
    return degradation.trainings(experiment, "highway", depth)[:SEEDS]


def gate_measurements(experiment: Experiment) -> dict[int, Measurement]:
    """Returns the jobs that measure the gates of each depth's first run on test images."""
    found = {}
    for depth in experiment.depths:
        first = trainings(experiment, depth)[0]
        arguments = (("network", first.network), ("seed", first.seed))
        function = "keras_resnet.reproduce.highway:measure_gates"
        found[depth] = Measurement(function, arguments, (first,), False, 5 + depth / 5)
    return found


def jobs(experiment: Experiment) -> list[Job]:
    """Returns the runs of the highway networks, the runs of the compared networks, and the gate measurements."""
    highway = [each for depth in experiment.depths for each in trainings(experiment, depth)]
    others = [run for run in degradation.jobs(experiment) if run.seed in experiment.seeds[:SEEDS]]
    return [*others, *highway, *gate_measurements(experiment).values()]


def measure_gates(experiment: Experiment, network: str, seed: int) -> list[dict]:
    """Returns a row per block of a trained network, see `keras_resnet.analysis.highway_gates`."""
    from keras_resnet.analysis.highway_gates import highway_gates
    from keras_resnet.reproduce.worker import images_of_test, trained_model
    from keras_resnet.task import load_task

    training = Training(network, seed)
    task = load_task(experiment.config_of(training))
    found = highway_gates(trained_model(task, experiment.folder(training)), images_of_test(task, IMAGES))
    return [dict(zip(found.dtype.names or (), row.tolist(), strict=True)) for row in found]


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with errors against depth and parameters, and the gates."""
    runs = {(f, d): degradation.trainings(experiment, f, d)[:SEEDS] for f in FAMILIES for d in experiment.depths}
    gates = {depth: experiment.answer(measurement) for depth, measurement in gate_measurements(experiment).items()}
    text = TEXT.format(
        depths=", ".join(map(str, experiment.depths)),
        data=experiment.data,
        config=experiment.config,
        seeds=len(experiment.seeds[:SEEDS]),
        images=IMAGES,
        margin=MARGIN,
        same=SAME_PARAMETERS,
    )
    errors = [degradation.row(experiment, each) for each in runs.values()]
    blocks = [{"layers": depth} | row for depth, rows in gates.items() for row in rows]
    return ReportPage(
        name="highway",
        title="Highway, residual and plain networks, and what gates do (sections 2 and 4.2)",
        text=text,
        tables=[
            Table("", "Errors: mean, least and greatest over the seeds", errors),
            Table("gates", "Gates of every block: mean, percentiles, shares closed and open, deviations", blocks),
        ],
        plots=[_errors_picture(experiment, runs), _gates_picture(gates)],
        checks=_checks(experiment, runs),
        seeds=experiment.seeds[:SEEDS],
    )


def _parameters(run):
    return read_complexities()[run.network]["parameters"]


def _checks(experiment, runs):
    train = {key: [experiment.train_error(run) for run in each] for key, each in runs.items()}
    test = {key: [experiment.test_error(run) for run in each] for key, each in runs.items()}
    chance, found = experiment.chance, []
    for depth in experiment.depths[1:]:
        claim = f"Highway-{depth} has a lower training error than plain-{depth}"
        found.append(check_lower(claim, train["highway", depth], train["plain", depth], chance))
    for depth in experiment.depths:
        claim = f"ResNet-{depth} is no worse than Highway-{depth} (test error), which has half as many parameters again"
        found.append(check_no_worse(claim, test["residual", depth], test["highway", depth], MARGIN, chance))
    for depth, same in _pairs(experiment.depths, runs):
        claim = f"ResNet-{same} is no worse than Highway-{depth} at equal parameters (test error)"
        found.append(check_no_worse(claim, test["residual", same], test["highway", depth], MARGIN, chance))
    if 110 in experiment.depths[1:]:
        found.append(_no_gain(test, experiment.depths, chance))
    return found


def _pairs(depths, runs):
    """Yields (depth of a highway network, depth of a residual network with about as many parameters)."""
    residual = {depth: _parameters(runs["residual", depth][0]) for depth in depths}
    for depth in depths:
        ours = _parameters(runs["highway", depth][0])
        same = min(depths, key=lambda other: abs(residual[other] - ours))
        if abs(residual[same] / ours - 1) <= SAME_PARAMETERS:
            yield depth, same


def _no_gain(test, depths, chance) -> Check:
    best = min((depth for depth in depths if depth < 110), key=lambda depth: np.mean(test["highway", depth]))
    claim = f"Highway-110 shows no gain over the best shallower one, Highway-{best} (test error)"
    return check_no_worse(claim, test["highway", best], test["highway", 110], 0.0, chance, both=True)


def _errors_picture(experiment, runs):
    figure, ((by_depth, by_parameters),) = new_figure(2)
    for family in FAMILIES:
        style = {"color": COLORS[family], "marker": MARKERS[family], "label": f"{family}, ours"}
        each = [runs[family, depth] for depth in experiment.depths]
        spread(
            by_depth, experiment.depths, [[experiment.train_error(run) for run in network] for network in each], **style
        )
        if family != "plain":
            millions = [_parameters(network[0]) / 1e6 for network in each]
            spread(
                by_parameters, millions, [[experiment.test_error(run) for run in network] for network in each], **style
            )
    costs = read_complexities()
    published = [
        (costs[name]["parameters"] / 1e6, PUBLISHED[name, "cifar10"][0].error)
        for name in (f"cifar_resnet{depth}" for depth in CIFAR_DEPTHS)
    ]
    by_parameters.plot(*zip(*published, strict=True), "k*", markersize=6, label="residual, the paper's (CIFAR-10)")
    highway = list(zip(*PAPER_HIGHWAY.values(), strict=True))
    by_parameters.plot(*highway, "k^", fillstyle="none", label="highway, Srivastava et al. (CIFAR-10)")
    label(by_depth, "layers", "training error (%)", f"equal depth, {experiment.data}", None, ylim=(0, None))
    title = f"equal parameters, {experiment.data}"
    label(by_parameters, "parameters (millions)", "test error (%)", title, None, ylim=(0, None))
    legend_above(figure, 3)
    return Plot(
        "errors", "Highway networks beside residual and plain ones, at equal depth and equal parameters.", figure
    )


def _gates_picture(gates):
    figure, ((mean, closed, varies),) = new_figure(3, height=2.5)
    for (depth, rows), color in zip(gates.items(), shades(len(gates)), strict=True):
        position = [(i + 0.5) / len(rows) for i in range(len(rows))]
        style = {"color": color, "label": f"{depth} layers"}
        if depth == max(gates):
            mean.fill_between(
                position, [r["p5"] for r in rows], [r["p95"] for r in rows], color=color, alpha=0.15, linewidth=0
            )
        mean.plot(position, [row["mean"] for row in rows], **style)
        closed.plot(position, [100 * row["closed"] for row in rows], **style)
        varies.plot(position, [row["over_images"] for row in rows], **style)
    mean.axhline(1 / (1 + np.exp(2)), color="black", linestyle=":", linewidth=1, label="before training")
    label(mean, "block / blocks", "gate T (mean)", "how much of F passes", None, ylim=(0, None))
    label(closed, "block / blocks", "gates below 0.1 (%)", "closed", None, ylim=(0, 100))
    label(varies, "block / blocks", "deviation over images", "depends on the image", None, ylim=(0, None))
    legend_above(figure, 6)
    caption = (
        f"Gates from the first to the last block; the band is the 5th to 95th percentile of the {max(gates)} layers'."
    )
    return Plot("gates", caption, figure)
