"""The risk of any request: monotone, in [0, 1], and one with quantiles, safe and lean."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.job import JobRequest, TargetPrediction
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.explanation.risk_curve import LOGITS, SMALLEST_RISK, risk_curves
from crowdrun.predictor.quantiles import LEVELS, Array, at_logit, expit, truncate
from crowdrun.predictor.sizing import risk_at
from crowdrun.predictor.target import TARGETS_BY_NAME
from crowdrun.predictor.target_rows import TargetRows

MEMORY, GPUS = TARGETS_BY_NAME["mem_mb"], TARGETS_BY_NAME["gpus"]
#: A distribution: its first quantile and the steps between them, some of which are 0, log2.
ROWS = st.tuples(
    st.floats(0, 15),
    st.lists(st.just(0.0) | st.floats(0.001, 2), min_size=len(LEVELS) - 1, max_size=len(LEVELS) - 1),
).map(lambda drawn: np.cumsum([drawn[0], *drawn[1]])[None])


def prediction(curve: tuple[tuple[float, float], ...]) -> TargetPrediction:
    return TargetPrediction(
        target="mem_mb", quantiles={}, safe=0.0, lean=0.0, ladder=(), members={}, risk_curve=curve
    )  # fmt: skip


def curve_of(row: Array, bound: float = np.nan, *, whole: bool = False) -> TargetPrediction:
    """The curve of a crowd whose calibration changes nothing, bounded by a request or not."""
    limit = np.array([bound])
    target = TargetRows.of_targets([GPUS if whole else MEMORY], jobs=1)
    (curve,) = risk_curves(target, truncate(row, limit), row, limit)
    return prediction(curve)


def assert_is_a_curve(said: TargetPrediction) -> None:
    values, risks = zip(*said.risk_curve, strict=True)
    assert list(values) == sorted(values)
    assert list(risks) == sorted(risks, reverse=True)
    assert 0 <= risks[-1] <= risks[0] <= 1
    assert len(values) <= 40


@given(ROWS, st.none() | st.floats(0, 20))
def test_it_falls_from_1_towards_0_for_every_distribution_and_request(row: Array, bound: float | None) -> None:
    said = curve_of(row, np.nan if bound is None else bound)
    assert_is_a_curve(said)
    assert said.risk_curve[0] == (0.0, 1.0)
    asked = np.exp2(np.linspace(-1, 45, 200))
    risks = [said.risk_of(float(value)) for value in asked]
    assert all(after <= before for before, after in pairwise(risks))


@given(ROWS)
def test_without_a_request_it_is_the_risk_at_every_quantile(row: Array) -> None:
    said = curve_of(row)
    for level, value in zip(LEVELS, np.exp2(row[0]), strict=True):
        # Where quantiles coincide, the risk on the step is that of the lowest of them.
        lowest = LEVELS[np.flatnonzero(np.exp2(row[0]) == value)[0]]
        assert 1 - level - 1e-9 <= said.risk_of(float(value)) <= 1 - lowest + 1e-9


@given(ROWS, st.floats(0.03, 0.97))
def test_between_two_quantiles_it_lies_between_their_risks(row: Array, share: float) -> None:
    said = curve_of(row)
    for (low, high), (less, more) in zip(pairwise(row[0].tolist()), pairwise(LEVELS.tolist()), strict=True):
        risk = said.risk_of(float(np.exp2(low + share * (high - low))))
        if high - low > 0.001:
            assert 1 - more - 1e-9 <= risk <= 1 - less + 1e-9


@given(ROWS)
def test_the_curve_ends_where_the_risk_is_next_to_nothing(row: Array) -> None:
    said = curve_of(row)
    value, risk = said.risk_curve[-1]
    assert risk == pytest.approx(SMALLEST_RISK)
    assert said.risk_of(2 * value) == risk


@given(ROWS, st.floats(0, 20))
def test_a_request_changes_nothing_beyond_the_highest_quantile(row: Array, further: float) -> None:
    assert curve_of(row, float(row[0, -1]) + further).risk_curve == curve_of(row).risk_curve


@given(ROWS, st.floats(0.05, 0.95))
def test_a_tight_request_is_given_some_credit_and_never_more_risk(row: Array, share: float) -> None:
    bound = float(row[0, 0] + share * (row[0, -1] - row[0, 0]))
    bounded, free = curve_of(row, bound), curve_of(row)
    assert bounded.risk_of(2**bound) <= free.risk_of(2**bound) + 0.01


def test_a_request_far_below_the_need_is_told_so() -> None:
    row = np.linspace(9.9, 10.1, len(LEVELS))[None]
    assert curve_of(row, 8.0).risk_of(256.0) > 0.97
    assert curve_of(row, 8.0).risk_of(900.0) > 0.9
    assert curve_of(row, 8.0).risk_of(1200.0) < 0.02


@given(st.lists(st.floats(0, 0.6), min_size=len(LEVELS), max_size=len(LEVELS)), st.integers(0, 40))
def test_a_whole_number_is_exceeded_when_the_need_rounds_to_more(steps: list[float], number: int) -> None:
    row = np.cumsum(steps)[None]
    said = curve_of(row, whole=True)
    assert_is_a_curve(said)
    assert all(value == round(value) for value, _ in said.risk_curve)
    if number <= said.risk_curve[-1][0] and number in dict(said.risk_curve):
        exact = risk_at(row, np.log2([number + 1.5]))[0]
        assert said.risk_of(number) == pytest.approx(exact, abs=1e-9)
    for level, value in zip(LEVELS, np.exp2(row[0]) - 1, strict=True):
        assert said.risk_of(float(round(value))) <= 1 - level + 1e-9


def test_its_points_hold_those_of_the_quantiles() -> None:
    assert len(LOGITS) == 28
    assert np.isin(LEVELS.round(9), expit(LOGITS).round(9)).all()
    row = np.linspace(8, 12, len(LEVELS))[None]
    values = [value for value, _ in curve_of(row).risk_curve[1:]]
    np.testing.assert_allclose(values, np.exp2(at_logit(row, LOGITS)[0]))


def test_what_is_said_of_real_jobs_agrees(sample_crowd: Crowd, some_requests: list[JobRequest]) -> None:
    generous = 0
    for answer in sample_crowd.recommend_many(some_requests):
        for name, said in answer.predictions.items():
            assert_is_a_curve(said)
            assert said.safe_risk == said.risk_of(said.safe)
            assert said.safe_risk <= said.lean_risk
            whole = TARGETS_BY_NAME[name].whole
            if said.asked is None or said.risk_of(said.asked) < 0.002:
                # Nothing of the distribution is beyond the request, so both speak of the same.
                generous += 1
                assert said.safe_risk <= 2 * answer.risk + 1e-6
                for level, value in said.quantiles.items():
                    if value > TARGETS_BY_NAME[name].smallest and not whole:
                        assert said.risk_of(value + 1e-6) <= 1 - level + 0.06
                        assert said.risk_of(value - 1e-6) >= 1 - level - 0.06
    assert generous > 50
