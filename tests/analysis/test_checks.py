"""Statements about figures that a reader can compare in the head."""

import pytest

from keras_resnet.analysis.checks import agrees, check_lower, check_no_worse, check_within, ends_alike


def test_lower_means_lower_for_every_seed():
    assert check_lower("", [1.0, 2.0, 3.0], [2.0, 3.0, 4.0], 90.0).holds
    refuted = check_lower("deep is worse", [1.0, 2.0, 3.0], [2.0, 2.0, 9.0], 90.0)
    assert not refuted.holds  # the second pair is equal, though the means differ much
    assert refuted.figures == "2.00 % ± 1.00 below 4.33 % ± 4.04 for 2 of 3 seeds"


def test_no_worse_allows_the_margin_and_no_more():
    assert check_no_worse("", [3.0, 5.0], [2.0, 2.0], 2.0, 90.0).holds  # 4 against 2
    assert not check_no_worse("", [3.0, 5.1], [2.0, 2.0], 2.0, 90.0).holds
    assert check_no_worse("", [1.0], [9.0], 0.0, 90.0).holds


def test_alike_is_symmetric():
    for pair in ([1.0], [2.5]), ([2.5], [1.0]):
        assert ends_alike("", *pair, 1.5, 90.0).holds
        assert not ends_alike("", *pair, 1.4, 90.0).holds


@pytest.mark.parametrize(
    "check",
    [
        check_lower("", [80.0, 81.0], [89.0, 90.0], 90.0),
        check_no_worse("", [80.0, 81.0], [89.0, 90.0], 2.0, 90.0),
        ends_alike("", [90.0, 90.0], [90.0, 90.0], 2.0, 90.0),
    ],
)
def test_nets_that_learnt_nothing_are_in_no_order(check):
    assert not check.holds
    assert check.figures.endswith("nothing was learned that could be compared")


def test_published_digits():
    assert agrees("", 3.858, 3.8, 1).holds  # cut
    assert agrees("", 7.57, 7.6, 1).holds  # rounded
    assert not agrees("", 3.91, 3.8, 1).holds
    assert check_within("", 101.9, 100.0, 0.02).holds
    assert not check_within("", 97.9, 100.0, 0.02).holds
