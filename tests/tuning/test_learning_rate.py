"""The learning rate range test: hand values, and a model whose losses are known."""

import math

import pytest

from keras_resnet.config.loading import load_config
from keras_resnet.config.recipes import recipes_folder
from keras_resnet.task import load_task
from keras_resnet.tuning.learning_rate import (
    growing_rates,
    moving_averages,
    range_config,
    range_test,
    suggested_rate,
)

DIGITS = f"{recipes_folder()}/digits/resnet20.yaml"


def test_growing_rates_have_equal_ratios():
    assert growing_rates(0.01, 10, 4) == pytest.approx([0.01, 0.1, 1, 10])


def test_moving_averages_by_hand():
    """.5 * 4 / .5 = 4; (.5 * 2 + .5 * 2) / .75 = 8 / 3; (.5 * 2 + .5 * 1) / .875 = 12 / 7."""
    assert moving_averages([4, 2, 1], decay=0.5) == pytest.approx([4, 8 / 3, 12 / 7])


def test_suggested_rate_is_a_tenth_of_that_of_the_lowest_average():
    assert suggested_rate([0.001, 0.01, 0.123, 1.0], [2.3, 2.0, 1.0, 5.0]) == 0.012


@pytest.mark.parametrize("averages", [[2.3, 2.3, 2.4], [2.3, 2.29, 2.5], [2.3]])
def test_no_rate_is_suggested_where_the_loss_does_not_decrease(averages):
    assert suggested_rate([0.1, 1.0, 10.0][: len(averages)], averages) is None


def test_range_config_keeps_everything_but_the_schedule():
    config = load_config(DIGITS, ["train.warmup_steps=5", "train.ema_decay=0.9", "train.weight_decay=0.25"])
    train = range_config(config, 30).train
    assert (train.steps, train.epochs, train.warmup_steps, train.schedule) == (30, None, 0, "constant")
    assert (train.peak_rate, train.ema_decay, train.weight_decay) == (1.0, 0.0, 0.25)
    assert range_config(config, 30).model == config.model


def test_each_step_has_its_rate_until_the_loss_explodes(strategies):
    """The loss of a step is that before its update: the first rates change nothing, the fourth ends the test."""
    config = load_config(DIGITS, ["train.batch_size=32", "train.momentum=0", "train.weight_decay=0"])
    task = load_task(range_config(config, 8))
    rates = [1e-12, 1e-12, 1e-12, 1e6, 1e6, 1e6, 1e6, 1e6]
    test = range_test(task, strategies[1], rates)
    taken = len(test.losses)
    assert 4 <= taken <= 6
    assert test.losses[:4] == pytest.approx([math.log(10)] * 4, rel=0.05)
    assert test.rates == tuple(rates[:taken])
    assert test.averages == test.losses  # over .8 steps
    assert test.suggestion is None
    assert all(map(math.isfinite, test.losses))
