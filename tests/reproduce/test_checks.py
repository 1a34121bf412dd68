"""Tests checks on numbers that are easy to compare by hand."""

import pytest

from keras_resnet.reproduce.report_page import agrees, check_lower, check_no_worse, check_within, ends_alike


def test_check_lower_requires_every_seed():
    assert check_lower("", [1.0, 2.0, 3.0], [2.0, 3.0, 4.0], 90.0).holds
    refuted = check_lower("deep is worse", [1.0, 2.0, 3.0], [2.0, 2.0, 9.0], 90.0)
    assert not refuted.holds  # the second pair is equal, though the means differ much
    assert refuted.values == "2.00 % ± 1.00 below 4.33 % ± 4.04 for 2 of 3 seeds"


def test_check_no_worse_respects_margin():
    assert check_no_worse("", [3.0, 5.0], [2.0, 2.0], 2.0, 90.0).holds  # means 4 and 2
    assert not check_no_worse("", [3.0, 5.1], [2.0, 2.0], 2.0, 90.0).holds
    assert check_no_worse("", [1.0], [9.0], 0.0, 90.0).holds


def test_ends_alike_is_symmetric():
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
def test_checks_fail_when_nothing_was_learned(check):
    assert not check.holds
    assert check.values.endswith("nothing was learned that could be compared")


def test_agrees_and_check_within_published_digits():
    assert agrees("", 3.858, 3.8, 1).holds  # truncated
    assert agrees("", 7.57, 7.6, 1).holds  # rounded
    assert not agrees("", 3.91, 3.8, 1).holds
    assert check_within("", 101.9, 100.0, 0.02).holds
    assert not check_within("", 97.9, 100.0, 0.02).holds
