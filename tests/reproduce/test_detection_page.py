"""Every check of the page on detection, with values that confirm it and values that refute it; its runs."""

import os

import pytest

from keras_resnet.paper_results import DETECTION
from keras_resnet.reproduce.detection import _rows, _seed_rows, check_higher, checks
from keras_resnet.reproduce.detectors_of_scenes import METHODS, TRUNKS, VARIANTS, detector, jobs, measurement, trunk
from keras_resnet.reproduce.experiment import Experiment, Measurement, Training

GOOD = {
    "plain": 0.05,
    "plain, lower rate": 0.30,
    "C4": 0.40,
    "FPN": 0.45,
    "refined": 0.41,
    "context": 0.42,
    "scales": 0.46,
    "ensemble": 0.50,
    "context alone": 0.41,
    "scales alone": 0.44,
}
ERRORS = {"residual": [15.0, 16.0], "plain": [80.0, 81.0], "plain, lower rate": [20.0, 21.0]}


def values(seeds=2, **changes):
    """Returns the metrics of `seeds`, the last of which has changed AP; of the ensemble, one or none."""
    found = {
        name: [{"ap": ap, "ap50": ap + 0.2, "ap75": ap + 0.1} for ap in [*[ap] * (seeds - 1), changes.get(name, ap)]]
        for name, ap in GOOD.items()
    }
    return found | {"ensemble": found["ensemble"][-1:] if seeds > 1 else []}


def held(found, errors=ERRORS):
    return [check.holds for check in checks(found, errors)]


def test_all_checks_hold_for_values_in_the_paper_s_order():
    assert held(values()) == [True] * 10


@pytest.mark.parametrize(
    ("changes", "refuted"),
    [
        ({"plain": 0.41}, [2]),
        ({"plain, lower rate": 0.40}, [3]),
        ({"FPN": 0.40}, [4]),
        ({"refined": 0.39}, [5]),
        ({"context": 0.41}, [6]),
        ({"scales": 0.42}, [7]),
        ({"scales": 0.35}, [7, 8]),
        ({"ensemble": 0.455}, [9]),
    ],
)
def test_one_seed_refutes_a_check(changes, refuted):
    assert [i for i, holds in enumerate(held(values(**changes))) if not holds] == refuted


@pytest.mark.parametrize(("trunk", "refuted"), [("plain", 0), ("plain, lower rate", 1)])
def test_trunk_check_fails_if_one_plain_trunk_is_better(trunk, refuted):
    assert held(values(), ERRORS | {trunk: [20.0, 15.5]}) == [i != refuted for i in range(10)]


def test_trunk_checks_fail_if_nothing_was_learned():
    """The residual trunk is better, but its error is more than half of that of chance."""
    assert held(values(), {"residual": [46.0, 46.0], "plain": [90.0, 90.0], "plain, lower rate": [47.0, 47.0]}) == (
        [False] * 2 + [True] * 8
    )


def test_one_seed_has_no_ensemble():
    assert held(values(1), {name: errors[:1] for name, errors in ERRORS.items()}) == [True] * 9
    assert [row["tested"] for row in _rows(values(1))] == [m.name for m in METHODS.values() if not m.ensemble]


def test_check_higher_nothing_learned_confirms_nothing():
    """In percent: a mean of 10 is enough, 9.9 is not."""
    assert check_higher("", [9.0, 11.0], [1.0, 2.0]).holds
    check = check_higher("", [8.9, 10.9], [1.0, 2.0])
    assert not check.holds
    assert check.values == (
        "9.90 % against 1.50 %: +8.40 points, above for 2 of 2 seeds; nothing was learned that could be compared"
    )


def test_rows_have_means_ranges_and_published_values():
    row = next(row for row in _rows(values(C4=0.44)) if row["tested"] == METHODS["C4"].name)
    assert [row[name] for name in ("AP (%)", "from", "to")] == pytest.approx([42.0, 40.0, 44.0])
    assert row["AP50 (%)"] == pytest.approx(62.0)
    assert (row["published"], row["its AP50 (%)"], row["its AP (%)"]) == ("ResNet-101", 48.4, 27.2)
    assert {method.published for method in METHODS.values()} - {None} <= set(DETECTION)


def test_seed_rows_leave_out_the_ensemble():
    rows = _seed_rows(values(C4=0.44), (3, 5))
    assert [(row["seed"], row[f"{METHODS['C4'].name} (%)"]) for row in rows] == [(3, 40.0), (5, 44.0)]
    assert not any("ensemble" in name for row in rows for name in row)


def test_jobs_train_every_detector_from_its_own_trunk(tmp_path):
    """Assignments of the group train reach trunks and detectors; others are of the digits' networks."""
    assigned = ("train.steps=5", "data.validation_fraction=0.5")
    experiment = Experiment("configs/evidence/digits.yaml", str(tmp_path), assigned, seeds=(0, 1, 2, 3))
    wanted = jobs(experiment)
    runs = [job for job in wanted if isinstance(job, Training)]
    assert [(run.network, run.seed) for run in runs[:5]] == [("scene_plain14", 0)] * 2 + [("scene_resnet14", 0)] * 3
    assert len(set(runs)) == 15
    measured = [job for job in wanted if isinstance(job, Measurement)]
    assert len(measured) == 4 * 3 + 1  # four rows of single detectors, one of the ensemble
    assert set(measured[-1].trainings) <= set(runs)
    config = experiment.config_of(detector("C4 with context", 1))
    assert (config.detector.context, config.detector.design, config.train.seed) == (True, "c4", 1)
    assert (config.train.steps, config.data.validation_fraction) == (5, 0.1)
    assert config.model.weights == f"{experiment.folder(trunk('residual', 1)).path}/weights/last.safetensors"
    assert experiment.config_of(trunk("plain", 1)).train.total_steps == 5


def test_designs_and_trunks_compare_at_equal_steps(tmp_path):
    experiment = Experiment("configs/evidence/digits.yaml", str(tmp_path))
    trained = {name: experiment.config_of(detector(name, 0)).train for name in VARIANTS}
    assert [train.steps for train in trained.values()] == [1200] * 5
    assert trained["plain C4"] == trained["C4"] == trained["C4 with context"]
    residual, plain, slower = (experiment.config_of(trunk(name, 0)).train for name in TRUNKS)
    assert (residual.steps, residual.learning_rate) == (1500, 0.003)
    assert plain == residual
    assert slower == residual.model_copy(update={"learning_rate": 0.001})


def test_files_depend_on_the_trunk_and_not_on_the_workdir(tmp_path):
    experiment = Experiment("configs/evidence/digits.yaml", str(tmp_path))
    moved = Experiment("configs/evidence/digits.yaml", str(tmp_path / "moved"))
    run, test = detector("C4", 0), measurement(METHODS["refined"], (0,))
    assert experiment.digest(run) == moved.digest(run)
    names = [os.path.basename(each.answer_file(test)) for each in (experiment, moved)]
    assert names[0] == names[1]
    other = Training(run.network, run.seed, run.changes, run.recipe, trunk("residual", 1))
    assert experiment.digest(other) != experiment.digest(run)
