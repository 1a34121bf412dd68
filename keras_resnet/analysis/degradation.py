"""Figures 1, 4 and 6: what depth does to plain nets, and what shortcuts do about it."""

from keras_resnet.analysis.study import Study, Training

FAMILIES = ("plain", "residual")
DEEP = 50  # layers from which the paper's plain nets are clearly worse
ALIKE = 2.0  # points that the shallow pair may differ, and a deeper residual net may be worse

TEXT = """
Does a deeper net learn the training images at least as well, as it could by copying the shallower one and adding
identities? The paper's plain nets do not: from 20 to 110 layers their **training** error grows, so that this is not
overfitting but optimization. With shortcuts the same nets do.

Plain and residual nets of {depths} layers, option A, {seeds} seeds each, all with one recipe (`{config}`; nets of 110
layers warm up). *Training error* is that of the varied training images in training mode over the last 5 % of the steps,
*test error* that of the last weights. Curves show the median over the seeds, bands the least and the greatest.

A comparison holds where it does for every seed; "alike" and "no worse" allow {alike:g} points. All of this was fixed
before the first run.
"""


def network(family: str, depth: int) -> str:
    """The row of a family's net."""
    return f"cifar_{ {'plain': 'plain', 'residual': 'resnet', 'highway': 'highway'}[family] }{depth}"


def trainings(study: Study, family: str, depth: int) -> list[Training]:
    """The net's runs, one per seed."""
    return [Training(network(family, depth), seed) for seed in study.seeds]


def jobs(study: Study) -> list[Training]:
    """Every net with every seed."""
    return [each for family in FAMILIES for depth in study.depths for each in trainings(study, family, depth)]
