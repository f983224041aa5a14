"""The arithmetic of quantiles: level to value and back, conditioning on a bound, the loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.predictor.quantiles import (
    GRID,
    LEVELS,
    SMALLEST_SLOPE,
    Array,
    at_logit,
    between,
    expit,
    logit,
    logit_of,
    mixture,
    pinball,
    truncate,
)


def rows(smallest_step: float) -> st.SearchStrategy[Array]:
    """One distribution, (1, len(LEVELS)), rising by at least so much from level to level."""
    steps = st.lists(st.floats(smallest_step, 4), min_size=len(LEVELS) - 1, max_size=len(LEVELS) - 1)
    return st.builds(lambda first, rest: np.cumsum([first, *rest])[None], st.floats(-5, 20), steps)


RISING, FLAT_AT_PLACES = rows(0.01), rows(0.0)


@given(RISING, st.floats(float(GRID[0]), 15))
def test_a_level_gives_a_value_that_gives_the_level(row: Array, x: float) -> None:
    value = at_logit(row, np.array([x]))
    # At the first level itself the value is where the distribution begins.
    if value[0] > row[0, 0]:
        assert logit_of(row, value)[0] == pytest.approx(x, abs=1e-6)


@given(FLAT_AT_PLACES, st.floats(-5, 80))
def test_a_value_gives_a_level_that_reaches_the_value(row: Array, value: float) -> None:
    reached = at_logit(row, logit_of(row, np.array([value])))[0]
    assert reached == pytest.approx(max(value, row[0, 0]), abs=1e-6)


@given(FLAT_AT_PLACES, st.lists(st.floats(-20, 20), min_size=2, max_size=9))
def test_a_higher_level_is_never_a_lower_value(row: Array, xs: list[float]) -> None:
    assert (np.diff(at_logit(row, np.sort(xs))) >= 0).all()


@given(FLAT_AT_PLACES, st.lists(st.floats(-20, 90), min_size=2, max_size=9))
def test_a_higher_value_is_never_a_lower_level(row: Array, values: list[float]) -> None:
    levels = logit_of(np.repeat(row, len(values), axis=0), np.sort(values))
    assert (np.diff(levels) >= -1e-9).all()


def test_on_the_grid_the_quantiles_are_given_back() -> None:
    row = np.linspace(3, 9, len(LEVELS))[None]
    np.testing.assert_allclose(at_logit(row, GRID)[0], row[0])
    np.testing.assert_allclose(at_logit(np.repeat(row, 4, axis=0), np.full((4, 1), GRID[7])), row[0, 7])


def test_a_family_that_never_varied_may_still_do_so() -> None:
    row = np.full((1, len(LEVELS)), 8.0)
    beyond = at_logit(row, GRID[-1:] + 2.0)
    assert beyond[0] == pytest.approx(8.0 + 2 * SMALLEST_SLOPE)


@given(st.floats(-30, 30))
def test_logit_and_expit_undo_each_other(x: float) -> None:
    assert logit(expit(np.array([x])))[0] == pytest.approx(x, rel=1e-3, abs=1e-9)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_between_stays_between(lower: float, step: float, share: float) -> None:
    upper = lower + step
    value = between(np.array([lower]), np.array([upper]), np.array([share]))[0]
    assert lower <= value <= upper


@given(FLAT_AT_PLACES, st.floats(-10, 80))
def test_no_truncated_quantile_lies_above_the_bound(row: Array, bound: float) -> None:
    cut = truncate(row, np.array([bound]))
    assert (cut <= bound).all() or np.array_equal(cut, row)
    assert (np.diff(cut, axis=1) >= 0).all()
    assert (cut <= row + 1e-9).all()


def test_where_no_bound_is_known_nothing_is_truncated() -> None:
    row = np.linspace(3, 9, len(LEVELS))[None]
    np.testing.assert_array_equal(truncate(row, np.array([np.nan])), row)


@pytest.mark.parametrize("bound", [6.0, 8.0, 9.5, 11.0])
def test_a_truncated_distribution_is_the_one_of_the_needs_below_the_bound(bound: float) -> None:
    row = np.array([[5.0, 5.2, 5.5, 6.0, 6.5, 7.0, 7.5, 8.5, 9.0, 9.6, 10.2, 11.0, 12.0]])
    uniform = np.random.default_rng(0).random(400_000)
    needs = at_logit(row, logit(np.clip(uniform, 1e-9, 1 - 1e-9)))[0]
    needs = np.sort(needs[needs <= bound])
    cut = truncate(row, np.array([bound]))[0]
    # Below the first level all needs are the first quantile: there, more than the level lies at or below it.
    inside = cut > row[0, 0]
    share = np.searchsorted(needs, cut[inside], side="right") / len(needs)
    np.testing.assert_allclose(share, LEVELS[inside], atol=0.005)


def test_the_true_quantiles_have_the_smallest_pinball_loss() -> None:
    sample = np.random.default_rng(0).normal(size=50_000)
    truth = np.quantile(sample, LEVELS)
    best = pinball(np.tile(truth, (len(sample), 1)), sample).mean(axis=0)
    for shift in (-0.1, 0.1):
        assert (pinball(np.tile(truth + shift, (len(sample), 1)), sample).mean(axis=0) > best).all()


def test_pinball_charges_a_miss_by_its_level() -> None:
    above = pinball(np.zeros(len(LEVELS)), np.array(1.0))
    below = pinball(np.zeros(len(LEVELS)), np.array(-1.0))
    np.testing.assert_allclose(above, LEVELS)
    np.testing.assert_allclose(below, 1 - LEVELS)


def test_a_mixture_has_the_needs_of_each_member_by_its_weight() -> None:
    rng = np.random.default_rng(0)
    members = np.sort(rng.normal([[8.0], [11.0], [14.0]], 1.0, (3, len(LEVELS))), axis=1)
    weights = np.array([0.5, 0.3, 0.2])
    mixed = mixture(members[:, None], weights[:, None])[0]
    assert (np.diff(mixed) >= -1e-9).all()
    needs = [at_logit(member[None], logit(rng.uniform(1e-6, 1 - 1e-6, 100_000)))[0] for member in members]
    for level, value in zip(LEVELS, mixed, strict=True):
        below, at_most = (
            sum(weight * (compare(need, value)).mean() for weight, need in zip(weights, needs, strict=True))
            for compare in (np.less, np.less_equal)
        )
        assert below - 0.015 <= level <= at_most + 0.015


def test_a_mixture_of_one_and_the_same_is_that() -> None:
    member = np.linspace(5, 11, len(LEVELS))[None]
    mixed = mixture(np.stack([member, member]), np.array([[0.3], [0.7]]))
    # But for the step between two atoms.
    np.testing.assert_allclose(expit(logit_of(np.repeat(member, len(LEVELS), axis=0), mixed[0])), LEVELS, atol=0.0125)
