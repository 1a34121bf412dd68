"""Checks of figure 7 on responses that are known."""

import numpy as np
import pytest

from keras_resnet.analysis.experiment import Experiment, Training
from keras_resnet.analysis.responses_by_depth import all_jobs, checks, depths_of, rows

DEPTHS, SEEDS = (20, 56), (0, 1)
MEDIANS = {("plain", 20): 2.0, ("plain", 56): 1.5, ("residual", 20): 1.0, ("residual", 56): 0.5}


@pytest.fixture
def found():
    return {(*network, seed): np.array([0.1, median, 9.0]) for network, median in MEDIANS.items() for seed in SEEDS}


def test_all_hold(found):
    assert [check.holds for check in checks(found, DEPTHS, SEEDS, set(MEDIANS))] == [True, True, True]
    assert rows(found)[0]["median"] == 2


@pytest.mark.parametrize(("net", "spoiled"), [(("residual", 20), 0), (("plain", 56), 1), (("residual", 56), 2)])
def test_one_seed_spoils_a_check(found, network, spoiled):
    """2 and 1 % less is not less: fresh networks differ by that."""
    other = {0: ("plain", 20), 1: ("residual", 56), 2: ("residual", 20)}[spoiled]
    found[(*network, 1)] = found[(*other, 1)] * (1.01 if spoiled == 1 else 0.99)
    held = [check.holds for check in checks(found, DEPTHS, SEEDS, set(MEDIANS))]
    assert not held[spoiled]


def test_untrained_nets_are_in_no_order(found):
    still = {kind: np.full(3, 1 + 0.01 * i) for i, kind in enumerate(found)}
    assert not any(check.holds for check in checks(still, DEPTHS, SEEDS, set(MEDIANS)))


def test_a_net_that_learnt_nothing_is_in_no_order(found):
    held = [check.holds for check in checks(found, DEPTHS, SEEDS, set(MEDIANS) - {("plain", 56)})]
    assert held == [True, False, True]


def test_which_nets():
    """Those of the degradation, so that none is trained twice."""
    from keras_resnet.analysis import degradation

    experiment = Experiment("configs/evidence/digits.yaml", "unused", depths=(20, 32, 56))
    assert depths_of(experiment) == (20, 56)
    read = {training for job in all_jobs(experiment).values() for training in job.trainings}
    assert read <= set(degradation.jobs(experiment))
    assert Training("cifar_plain56", 1) in read
    assert len(read) == 8
