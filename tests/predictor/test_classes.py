"""Memory classes: powers of two, the mode of a history, the likeliest class, the poll."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crowdrun.predictor.classes import (
    LARGEST_CLASS,
    SMALLEST_CLASS,
    Poll,
    class_of_value,
    likeliest_class,
    most_frequent,
    most_frequent_of_rows,
)
from crowdrun.predictor.quantiles import LEVELS, at_logit, logit


@pytest.mark.parametrize(("mb", "expected"), [(0.2, 0), (1, 0), (1.5, 1), (2, 1), (1024, 10), (1025, 11), (1e9, 24)])
def test_a_class_is_named_by_its_upper_bound(mb: float, expected: int) -> None:
    assert class_of_value(np.log2([mb])).tolist() == [expected]


@given(st.integers(SMALLEST_CLASS, LARGEST_CLASS))
def test_a_power_of_two_is_in_its_own_class(k: int) -> None:
    assert class_of_value(np.log2([2.0**k])).tolist() == [k]
    assert likeliest_class(np.full((1, len(LEVELS)), float(k))).tolist() == [k]


@given(st.floats(SMALLEST_CLASS, LARGEST_CLASS))
def test_a_family_that_never_varied_is_in_the_class_of_its_value(value: float) -> None:
    # On an edge itself the test above counts; next to it, rounding may.
    assume(abs(value - round(value)) > 1e-6)
    row = np.full((1, len(LEVELS)), value)
    assert likeliest_class(row).tolist() == class_of_value(row[:, 0]).tolist()


def test_the_likeliest_class_holds_most_of_the_distribution() -> None:
    rng = np.random.default_rng(0)
    rows = np.cumsum(rng.gamma(0.5, 0.5, (50, len(LEVELS))), axis=1) + rng.uniform(4, 14, (50, 1))
    needs = at_logit(rows, logit((np.arange(20_000) + 0.5) / 20_000))
    for need, said in zip(needs, likeliest_class(rows).tolist(), strict=True):
        counts = np.bincount(class_of_value(need))
        # Two classes may hold the same but for a hundredth.
        assert counts[said] >= counts.max() - 200


def test_the_mode_is_the_most_frequent_class() -> None:
    assert most_frequent(np.log2([900, 1000, 3000, 70]).tolist()) == 10


def test_of_equals_the_mode_is_the_newest() -> None:
    assert most_frequent([9.5, 12.5, 9.5, 12.5]) == 13
    assert most_frequent([12.5, 9.5]) == 10


def test_at_first_the_majority_wins_the_poll() -> None:
    assert Poll(5).vote(np.array([7, 8, 8, 9, 8])) == 8


def test_one_that_was_always_right_outvotes_many_that_were_not() -> None:
    poll = Poll(4)
    for _ in range(100):
        poll.observe(np.array([5, 6, 6, 6]), 5)
    assert poll.vote(np.array([11, 12, 12, 12])) == 11


def test_the_poll_follows_who_is_right_more_often() -> None:
    rng = np.random.default_rng(0)
    accuracy = np.array([0.9, 0.6, 0.6, 0.5])
    poll, right = Poll(4), 0
    for _ in range(3000):
        truth = int(rng.integers(5, 12))
        votes = np.where(rng.random(4) < accuracy, truth, rng.integers(5, 12, 4))
        right += poll.vote(votes) == truth
        poll.observe(votes, truth)
    assert right / 3000 > 0.9


@given(st.lists(st.lists(st.floats(0, 24), max_size=9), min_size=1, max_size=6))
def test_the_modes_of_many_histories_are_those_of_each(histories: list[list[float]]) -> None:
    table = np.full((len(histories), 9), np.nan)
    for row, history in enumerate(histories):
        table[row, : len(history)] = history[::-1]
    expected = [most_frequent(history) if history else -1 for history in histories]
    assert most_frequent_of_rows(table).tolist() == expected
