"""Every check of the page on localization, with errors that confirm it and errors that refute it."""

import os

import pytest

from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.localization import STEPS, checks, first_stage, jobs, second_stage

GOOD = {
    "control": 80.0,
    "oracle": 6.0,
    "dense": 4.0,
    "predicted": 12.0,
    "predicted dense": 9.0,
    "R-CNN oracle": 3.0,
    "R-CNN": 10.0,
    "R-CNN dense": 8.0,
    "classes": 7.0,
}


def answers(**changes):
    """Returns the measurements of two seeds, the second with changed errors."""
    found = []
    for values in (GOOD, GOOD | changes):
        answer = {f"{step.stage} {step.protocol}": {} for step in STEPS.values()}
        for name, step in STEPS.items():
            answer[f"{step.stage} {step.protocol}"][step.metric] = values[name]
        found.append(answer)
    return found


def test_all_checks_hold_for_errors_in_the_paper_s_order():
    assert [check.holds for check in checks(answers())] == [True] * 6


@pytest.mark.parametrize(
    ("changes", "refuted"),
    [
        ({"control": 11.0}, [0]),
        ({"dense": 6.5}, [1]),
        ({"predicted dense": 12.0}, [2]),
        ({"R-CNN oracle": 6.0}, [3]),
        ({"R-CNN": 12.5}, [4]),
        ({"R-CNN dense": 9.5}, [5]),
    ],
)
def test_one_seed_refutes_a_check(changes, refuted):
    assert [i for i, check in enumerate(checks(answers(**changes))) if not check.holds] == refuted


def test_nothing_is_confirmed_where_nothing_was_learned():
    low = {name: 79.0 - i for i, name in enumerate(GOOD)}
    found = [{f"{s.stage} {s.protocol}": {} for s in STEPS.values()}]
    for name, step in STEPS.items():
        found[0][f"{step.stage} {step.protocol}"][step.metric] = low[name]
    assert not any(check.holds for check in checks(found))


def test_jobs_have_the_recipes_of_localization(tmp_path):
    """Assignments of the group train reach both stages; others are of the digits' networks."""
    assigned = ("train.steps=5", "data.validation_fraction=0.5")
    experiment = Experiment("configs/evidence/digits.yaml", str(tmp_path), assigned, seeds=(0, 1, 2, 3))
    assert [dict(job.arguments)["seed"] for job in jobs(experiment)] == [0, 1, 2]
    first, second = (experiment.config_of(each) for each in (first_stage(1), second_stage(1)))
    assert (first.task, first.localizer.rcnn, second.localizer.rcnn) == ("localization", False, True)
    assert (first.train.steps, first.train.seed, first.data.validation_fraction) == (5, 1, 0.1)
    assert second.model.weights == f"{experiment.folder(first_stage(1)).path}/weights/last.safetensors"
    other = Experiment("configs/evidence/digits.yaml", str(tmp_path), ("train.steps=6",))
    moved = Experiment("configs/evidence/digits.yaml", str(tmp_path / "moved"), assigned)
    names = [os.path.basename(each.answer_file(jobs(each)[0])) for each in (experiment, other, moved)]
    assert names[0] != names[1]
    assert names[0] == names[2]
