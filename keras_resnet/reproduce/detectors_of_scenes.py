"""Provides the detectors that `detection` compares: their runs on painted scenes, and how they are tested."""

import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training
from keras_resnet.tasks import TASKS

SEEDS = 3  # number of the experiment's seeds that are used
STEPS = 1200  # of every detector, so that designs and trunks compare at equal steps
TRUNK_STEPS = 1500  # six epochs, as in the recipe
SCALES = (112, 128, 160)  # of an image of 128 pixels
TRUNK, C4, FPN = "scene_digits/trunk", "detection/scenes_c4", "detection/scenes"
METRICS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}


@dataclass(frozen=True)
class Trunk:
    """A classifier that detectors start from. Attributes: network; changes to the recipe."""

    network: str
    changes: tuple[str, ...] = ()


TRUNKS = {
    "residual": Trunk("scene_resnet14"),
    "plain": Trunk("scene_plain14"),
    "plain, lower rate": Trunk("scene_plain14", ("train.learning_rate=0.001",)),
}


@dataclass(frozen=True)
class Variant:
    """A detector that is trained. Attributes: name of its trunk; recipe; changes to it; color of its curve."""

    trunk: str
    recipe: str
    color: str
    changes: tuple[str, ...] = ()


VARIANTS = {
    "plain C4": Variant("plain", C4, "plain"),
    "plain C4, lower rate": Variant("plain, lower rate", C4, "C"),
    "C4": Variant("residual", C4, "residual"),
    "C4 with context": Variant("residual", C4, "highway", ("detector.context=true",)),
    "FPN": Variant("residual", FPN, "bottleneck"),
}


@dataclass(frozen=True)
class Method:
    """A row of the page: what is tested how, and the published detector beside it.

    Attributes:
        name: the row's name.
        variant: the detector, of each seed.
        refine, scales: settings of `keras-resnet evaluate`.
        published: its name in `paper_results.DETECTION`, if there is one.
        ensemble: test the detectors of all seeds as one.
    """

    name: str
    variant: str
    refine: bool = False
    scales: tuple[int, ...] = ()
    published: str | None = None
    ensemble: bool = False


METHODS = {
    "plain": Method("plain trunk, C4", "plain C4", published="VGG-16"),
    "plain, lower rate": Method("plain trunk of a lower rate, C4", "plain C4, lower rate", published="VGG-16"),
    "FPN": Method("ResNet trunk, FPN", "FPN", published="Detectron2, ResNet-50, FPN"),
    "C4": Method("ResNet trunk, C4: the baseline", "C4", published="ResNet-101"),
    "refined": Method("+ box refinement", "C4", True, published="+ box refinement"),
    "context": Method("+ global context", "C4 with context", True, published="+ context"),
    "scales": Method("+ multi-scale testing", "C4 with context", True, SCALES, "+ multi-scale testing"),
    "ensemble": Method("+ ensemble of the seeds", "C4 with context", True, SCALES, "ensemble of three", ensemble=True),
    "context alone": Method("global context alone", "C4 with context"),
    "scales alone": Method("multi-scale testing alone", "C4", False, SCALES),
}


def trunk(name: str, seed: int) -> Training:
    """Returns the run of a trunk of `TRUNKS`, which classifies single digits."""
    of = TRUNKS[name]
    return Training(
        of.network, seed, ("train.epochs=null", f"train.steps={TRUNK_STEPS}", *of.changes), TRUNK, seconds=90.0
    )


def detector(name: str, seed: int) -> Training:
    """Returns the run of a detector of `VARIANTS`, from the last weights of its trunk."""
    of = VARIANTS[name]
    start = trunk(of.trunk, seed)
    return Training(start.network, seed, (f"train.steps={STEPS}", *of.changes), of.recipe, start, 180.0)


def jobs(experiment: Experiment) -> list[Job]:
    """Returns the runs of all detectors, and the measurements of improvements."""
    seeds = experiment.seeds[:SEEDS]
    runs = [detector(name, seed) for seed in seeds for name in VARIANTS]
    return [
        *runs,
        *(measurement(method, of) for method in METHODS.values() for of in members(method, seeds) if _improved(method)),
    ]


def members(method: Method, seeds: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Returns the seeds whose detectors are tested together, for each method."""
    if method.ensemble:
        return [seeds] if len(seeds) > 1 else []
    return [(seed,) for seed in seeds]


def _improved(method):
    """Returns whether a method has settings of its own; the others are those at the end of training."""
    return method.refine or method.scales or method.ensemble


def measurement(method: Method, seeds: Sequence[int]) -> Measurement:
    """Returns the measurement of a method with the detectors of `seeds`."""
    arguments = (
        ("variant", method.variant),
        ("seeds", tuple(seeds)),
        ("refine", method.refine),
        ("scales", method.scales),
    )
    runs = tuple(detector(method.variant, seed) for seed in seeds)
    passes = (1 + method.refine) * (1 + len(method.scales)) * len(seeds)
    return Measurement(
        "keras_resnet.reproduce.detectors_of_scenes:measure_method", arguments, runs, False, 15.0 * passes
    )


def measure_method(
    experiment: Experiment, variant: str, seeds: Sequence[int], refine: bool, scales: Sequence[int]
) -> dict[str, float]:
    """Returns {metric: value} of the detectors of `seeds`, as one, on the test images."""
    import tensorflow as tf

    from keras_resnet.reproduce.worker import trained_model
    from keras_resnet.task import load_task

    strategy: Any = tf.distribute.OneDeviceStrategy("CPU:0")
    evaluation = pkgutil.resolve_name(TASKS["detection"].evaluation)(
        strategy, "test", "coco", tuple(scales), lambda batches, images, batch_size: batches, refine=refine
    )
    for seed in seeds:
        training = detector(variant, seed)
        folder = experiment.folder(training)
        task = load_task(experiment.config_of(training), folder.read_description())
        evaluation.add(task, trained_model(task, folder), folder.path)
    measured = evaluation.measured()
    return {name: measured[name] for name in METRICS}


Values = dict[str, list[dict[str, float]]]  # {method: {metric: value in [0, 1]} of each seed}


def values(experiment: Experiment) -> Values:
    """Returns the metrics of every method, a row for each seed; of the ensemble one, or none for one seed."""
    return {
        name: [
            experiment.answer(measurement(method, of))
            if _improved(method)
            else experiment.test(detector(method.variant, *of))
            for of in members(method, experiment.seeds[:SEEDS])
        ]
        for name, method in METHODS.items()
    }
