"""Reproduces the paper's object detection on painted scenes: trunks, C4 and FPN, and appendix B's improvements."""

from collections.abc import Sequence

import numpy as np

from keras_resnet.paper_results import DETECTION
from keras_resnet.reproduce.detectors_of_scenes import (
    C4,
    FPN,
    METHODS,
    METRICS,
    SCALES,
    SEEDS,
    STEPS,
    TRUNK,
    TRUNKS,
    VARIANTS,
    Values,
    detector,
    jobs,
    trunk,
    values,
)
from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.plots import COLORS, band, label, legend_above, new_figure
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Row, Table, check_lower

__all__ = ["jobs", "page"]

CHANCE = 90.0  # error of chance on the digits of the trunks, in percent
LEARNED = 10.0  # AP in percent; a detector that has learned nothing has about 0

TEXT = """
Do better features make a better detector, and what does each improvement of the paper's appendix B add? On COCO (table
8), Faster R-CNN with ResNet-101 in place of VGG-16 has an AP of 27.2 % in place of 21.2 %; box refinement, global
context and testing at several scales give 32.5 % (table 9), and an ensemble of three networks 37.4 % on other images.

Here the images are painted scenes (`scenes`). Each seed trains both trunks on single digits (`{trunk}`): the residual
one, and the *plain* one, which is the same network of 14 layers without shortcuts. The detectors begin with their last
weights: C4 (`{c4}`, whose recipe has 2,000 steps) and FPN (`{fpn}`), {steps:,} steps each. All values are those of the
last weights on the test images. The improvements add up from row to row, as in the paper: *global context* is trained,
the others are settings of testing, and the scales are squares of {scales} pixels. Rows with *alone* are the
baseline with one improvement; the ensemble unites the detectors of all seeds. The paper has no plain trunk and no FPN:
beside them are VGG-16, a plain network of 16 layers, and Detectron2's figures.

A comparison of detectors holds where it does for every seed and the better side has an AP of {learned:g} % at least.
The claims were fixed before the first run of this page, but for those on the plain trunk of a *lower rate*; the recipes
were chosen on the validation images, with residual trunks. At their learning rate of the trunk, 0.003, the plain trunk
of seed 0 learned almost nothing. The trunk of a lower rate, and the checks on it, were added then: of 0.003,
0.001 and 0.0003, its error on the validation images was lowest with 0.001, in one trial of each. All detectors have the
learning rate of the recipes.
"""


def page(experiment: Experiment) -> ReportPage:
    """Returns the page with AP beside the paper's, and checks of what trunk, design and improvements add."""
    seeds = experiment.seeds[:SEEDS]
    found = values(experiment)
    errors = {name: [experiment.test_error(trunk(name, seed)) for seed in seeds] for name in TRUNKS}
    scales = ", ".join(map(str, SCALES))
    text = TEXT.format(trunk=TRUNK, c4=C4, fpn=FPN, steps=STEPS, scales=scales, learned=LEARNED)
    paper: list[Row] = [
        {"system": name, "AP50 (%)": each.ap50, "AP (%)": each.ap, "of": each.source}
        for name, each in DETECTION.items()
    ]
    return ReportPage(
        name="detection",
        title="Detection: residual and plain trunks, C4 and FPN, and the improvements of appendix B",
        text=text,
        tables=[
            Table("", "AP: mean, least and greatest over the seeds; AP50 and AP75: means", _rows(found)),
            Table("seeds", "AP of every seed", _seed_rows(found, seeds)),
            Table("trunks", "Test errors of the trunks on single digits", _trunk_rows(errors)),
            Table("paper", "Detection as published (He et al. 2015, tables 7 to 12, and Detectron2)", paper),
        ],
        plots=[_picture(found), _curves(experiment)],
        checks=checks(found, errors),
        seeds=seeds,
    )


def percents(found: Values, name: str, metric: str = "ap") -> list[float]:
    """Returns a metric of a method in percent, one for each seed."""
    return [100 * each[metric] for each in found[name]]


def checks(found: Values, errors: dict[str, list[float]]) -> list[Check]:
    """Returns checks of the order of detectors, and of their trunks as classifiers (errors in percent)."""
    ap = {name: percents(found, name) for name in METHODS}
    claims = [
        check_lower(
            "The residual trunk has a lower error on digits than the plain one",
            errors["residual"],
            errors["plain"],
            CHANCE,
        ),
        check_lower(
            "It has a lower error than the plain one of a lower learning rate too",
            errors["residual"],
            errors["plain, lower rate"],
            CHANCE,
        ),
        check_higher("The residual trunk has a higher AP than the plain one (table 8)", ap["C4"], ap["plain"]),
        check_higher(
            "It has a higher AP than the plain one of a lower learning rate too (table 8)",
            ap["C4"],
            ap["plain, lower rate"],
        ),
        check_higher("FPN has a higher AP than C4", ap["FPN"], ap["C4"]),
        check_higher("Box refinement raises AP (table 9)", ap["refined"], ap["C4"]),
        check_higher("Global context raises AP, with refinement (table 9)", ap["context"], ap["refined"]),
        check_higher("Testing at several scales raises AP, with both (table 9)", ap["scales"], ap["context"]),
        check_higher("The three together raise AP (table 9)", ap["scales"], ap["C4"]),
    ]
    if ap["ensemble"]:
        ensemble = ap["ensemble"] * len(ap["scales"])
        claims.append(check_higher("The ensemble has a higher AP than each of its members", ensemble, ap["scales"]))
    return claims


def check_higher(claim: str, high: Sequence[float], low: Sequence[float]) -> Check:
    """Checks that the AP `high` is above `low` (percent) for every seed, and `LEARNED` at least in the mean."""
    pairs = int(np.greater(high, low).sum())
    learned = float(np.mean(high)) >= LEARNED
    text = f"{np.mean(high):.2f} % against {np.mean(low):.2f} %: {np.mean(high) - np.mean(low):+.2f} points"
    note = "" if learned else "; nothing was learned that could be compared"
    return Check(claim, pairs == len(low) and learned, f"{text}, above for {pairs} of {len(low)} seeds{note}")


def _rows(found) -> list[Row]:
    rows: list[Row] = []
    for name, method in METHODS.items():
        if not found[name]:
            continue
        ap = percents(found, name)
        published = DETECTION[method.published] if method.published else None
        rows.append(
            {"tested": method.name, "AP (%)": float(np.mean(ap)), "from": min(ap), "to": max(ap)}
            | {f"{METRICS[each]} (%)": float(np.mean(percents(found, name, each))) for each in ("ap50", "ap75")}
            | {
                "published": method.published,
                "its AP50 (%)": published.ap50 if published else None,
                "its AP (%)": published.ap if published else None,
            }
        )
    return rows


def _seed_rows(found, seeds) -> list[Row]:
    names = [name for name, each in found.items() if len(each) == len(seeds)]
    return [
        {"seed": seed} | {f"{METHODS[name].name} (%)": percents(found, name)[i] for name in names}
        for i, seed in enumerate(seeds)
    ]


def _trunk_rows(errors) -> list[Row]:
    return [
        {"trunk": name, "test error (%)": float(np.mean(found)), "from": min(found), "to": max(found)}
        for name, found in errors.items()
    ]


def _picture(found):
    figure, ((axes,),) = new_figure(height=3.4)
    names = [name for name in METHODS if found[name]]
    places = np.arange(len(names))[::-1]
    for name, place in zip(names, places, strict=True):
        ap = percents(found, name)
        color = COLORS[VARIANTS[METHODS[name].variant].color]
        axes.barh(place, np.mean(ap), color=color, alpha=0.5)
        axes.plot(ap, [place] * len(ap), ".", color=color)
    beside = {place: METHODS[name].published for name, place in zip(names, places, strict=True)}
    published = [(DETECTION[name].ap, place) for place, name in beside.items() if name]
    axes.plot(*zip(*published, strict=True), "k*", markersize=6, label="published, COCO (other data)")
    axes.set_yticks(places, [METHODS[name].name for name in names])
    label(axes, "AP (%)", "", "", None, xlim=(0, None))
    legend_above(figure, 1)
    return Plot("ap", "AP of every row on the painted test images: bars are means, dots seeds.", figure)


def _curves(experiment):
    figure, ((axes,),) = new_figure(height=3.0)
    for name, of in VARIANTS.items():
        curves = [experiment.curve(detector(name, seed), "validation/ap") for seed in experiment.seeds[:SEEDS]]
        steps = curves[0][0]
        band(axes, steps, [np.multiply(100, each) for _, each in curves], color=COLORS[of.color], label=name)
    label(axes, "step", "AP on validation images (%)", "", None, ylim=(0, None))
    legend_above(figure, 3)
    return Plot(
        "curves", "AP during training without improvements in testing: medians and ranges of the seeds.", figure
    )
