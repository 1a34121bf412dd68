"""Tests the checks of figure 7 on known responses."""

import numpy as np
import pytest

from keras_resnet.reproduce.experiment import Experiment, Training
from keras_resnet.reproduce.responses_by_depth import all_jobs, checks, depths_of, rows

DEPTHS, SEEDS = (20, 56), (0, 1)
MEDIANS = {("plain", 20): 2.0, ("plain", 56): 1.5, ("residual", 20): 1.0, ("residual", 56): 0.5}


@pytest.fixture
def found():
    return {(*network, seed): np.array([0.1, median, 9.0]) for network, median in MEDIANS.items() for seed in SEEDS}


def test_responses_checks_hold_on_expected_medians(found):
    assert [check.holds for check in checks(found, DEPTHS, SEEDS, set(MEDIANS))] == [True, True, True]
    assert rows(found)[0]["median"] == 2


@pytest.mark.parametrize(("network", "spoiled"), [(("residual", 20), 0), (("plain", 56), 1), (("residual", 56), 2)])
def test_responses_check_fails_on_one_bad_seed(found, network, spoiled):
    """A difference of 1 % does not count, since fresh networks differ by that."""
    other = {0: ("plain", 20), 1: ("residual", 56), 2: ("residual", 20)}[spoiled]
    found[(*network, 1)] = found[(*other, 1)] * (1.01 if spoiled == 1 else 0.99)
    held = [check.holds for check in checks(found, DEPTHS, SEEDS, set(MEDIANS))]
    assert not held[spoiled]


def test_responses_checks_fail_on_untrained_networks(found):
    still = {kind: np.full(3, 1 + 0.01 * i) for i, kind in enumerate(found)}
    assert not any(check.holds for check in checks(still, DEPTHS, SEEDS, set(MEDIANS)))


def test_responses_check_fails_if_network_did_not_learn(found):
    held = [check.holds for check in checks(found, DEPTHS, SEEDS, set(MEDIANS) - {("plain", 56)})]
    assert held == [True, False, True]


def test_responses_jobs_reuse_degradation_trainings():
    """The networks are those of `degradation`, so none is trained twice."""
    from keras_resnet.reproduce import degradation

    experiment = Experiment("configs/evidence/digits.yaml", "unused", depths=(20, 32, 56))
    assert depths_of(experiment) == (20, 56)
    read = {training for job in all_jobs(experiment).values() for training in job.trainings}
    assert read <= set(degradation.jobs(experiment))
    assert Training("cifar_plain56", 1) in read
    assert len(read) == 8
