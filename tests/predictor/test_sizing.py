"""From a distribution to a request, against a walk through every attempt of every need."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.predictor.quantiles import ATOM_LEVELS, ATOM_WEIGHTS, LEVELS, Array, at_logit, logit
from crowdrun.predictor.sizing import (
    LEAN_FAILURE_SHARE,
    USUAL_RISK,
    RiskBudget,
    ladder_log2,
    lean_log2,
    risk_at,
    safe_log2,
)
from crowdrun.predictor.target import TARGETS_BY_NAME

MEMORY = TARGETS_BY_NAME["mem_mb"]
LOWEST_RISK = 0.005


def attempts_cost(allocation_mb: float, need_mb: float) -> float:
    """All that is held until an attempt is enough, each twice the one before, with what the failures cost."""
    held, failures = allocation_mb, 0
    while allocation_mb < need_mb * (1 - 1e-12):
        failures += 1
        allocation_mb *= 2
        held += allocation_mb
    return held * (1 + LEAN_FAILURE_SHARE * failures) + MEMORY.failure_price * (failures > 0)


def expected_cost(allocation_mb: float, needs_mb: Array, weights: Array) -> float:
    return sum(
        weight * attempts_cost(allocation_mb, need)
        for need, weight in zip(needs_mb.tolist(), weights.tolist(), strict=True)
    )


def atoms_of(row: Array) -> Array:
    """The needs, MB, that a row of quantiles stands for, one a weight of ATOM_WEIGHTS."""
    return np.exp2(at_logit(row, logit(ATOM_LEVELS))[0])


SPIKE = np.full(len(LEVELS), 8.0)
TWO_KINDS = np.where(LEVELS < 0.6, 7.0, 12.0)
THREE_KINDS = np.where(LEVELS < 0.3, 6.0, np.where(LEVELS < 0.93, 9.0, 15.0))
SPREAD = np.linspace(6, 15, len(LEVELS))
RARE_GIANT = np.where(LEVELS < 0.98, 13.0, 18.0)


@pytest.mark.parametrize("quantiles", [SPIKE, TWO_KINDS, THREE_KINDS, SPREAD, RARE_GIANT])
def test_lean_costs_no_more_than_any_other_need(quantiles: Array) -> None:
    needs = atoms_of(quantiles[None])
    chosen = float(np.exp2(lean_log2(quantiles[None], MEMORY)[0]))
    cheapest = min(expected_cost(one, needs, ATOM_WEIGHTS) for one in needs.tolist())
    assert expected_cost(chosen, needs, ATOM_WEIGHTS) == pytest.approx(cheapest, rel=1e-9)


@pytest.mark.parametrize("quantiles", [SPIKE, TWO_KINDS, THREE_KINDS, SPREAD, RARE_GIANT])
def test_lean_is_near_the_best_of_all_allocations_on_a_finer_view(quantiles: Array) -> None:
    needs = np.exp2(at_logit(quantiles[None], logit((np.arange(500) + 0.5) / 500))[0])
    weights = np.full(500, 1 / 500)
    chosen = float(np.exp2(lean_log2(quantiles[None], MEMORY)[0]))
    tried = np.geomspace(needs[0], 2 * needs[-1], 120).tolist()
    cheapest = min(expected_cost(one, needs, weights) for one in tried)
    # Only needs are tried as allocations; a half or a quarter of a far one may be a tenth cheaper.
    assert expected_cost(chosen, needs, weights) < 1.12 * cheapest


def test_many_jobs_are_sized_as_each_alone() -> None:
    rows = np.sort(np.random.default_rng(0).normal(10, 2, (2100, len(LEVELS))), axis=1)
    together = lean_log2(rows, MEMORY)
    ceiling = np.full(len(rows), 0.05)
    safe = safe_log2(rows, MEMORY, 0.05, ceiling)
    for row in (0, 999, 1000, 2099):
        here = slice(row, row + 1)
        assert lean_log2(rows[here], MEMORY)[0] == pytest.approx(together[row])
        assert safe_log2(rows[here], MEMORY, 0.05, ceiling[here])[0] == pytest.approx(safe[row])


@given(
    st.floats(0, 20),
    st.lists(st.floats(0, 3), min_size=len(LEVELS) - 1, max_size=len(LEVELS) - 1),
    st.floats(0.001, 0.3),
    st.floats(LOWEST_RISK, 0.4),
)
def test_safe_is_never_riskier_than_the_ceiling(first: float, steps: list[float], ceiling: float, risk: float) -> None:
    row = np.cumsum([first, *steps])[None]
    safe = safe_log2(row, MEMORY, risk, np.array([ceiling]))
    assert risk_at(row, safe + 1e-9)[0] <= ceiling + 1e-6


def test_less_accepted_risk_is_never_less_memory() -> None:
    rows = np.sort(np.random.default_rng(0).normal(10, 2, (200, len(LEVELS))), axis=1)
    sizes = [safe_log2(rows, MEMORY, risk, np.full(200, risk)) for risk in (0.2, 0.1, 0.05, 0.02, 0.01)]
    for looser, stricter in pairwise(sizes):
        assert (stricter >= looser - 1e-9).all()


def test_risk_is_the_share_of_needs_above_the_allocation() -> None:
    row = np.linspace(6, 15, len(LEVELS))[None]
    needs = at_logit(row, logit((np.arange(100_000) + 0.5) / 100_000))[0]
    for allocation in (7.0, 9.0, 12.5, 14.9):
        assert risk_at(row, np.array([allocation]))[0] == pytest.approx((needs > allocation).mean(), abs=1e-4)


def test_each_rung_of_the_ladder_is_at_least_twice_the_one_before() -> None:
    quantiles = np.linspace(6, 15, len(LEVELS))[None].repeat(2, axis=0)
    assert ladder_log2(quantiles, np.array([9.0, 14.5])).tolist() == [[15.0, 16.0, 17.0], [15.5, 16.5, 17.5]]
    assert ladder_log2(quantiles, np.array([9.0, 14.5]), rungs=1).tolist() == [[15.0], [15.5]]


@pytest.mark.parametrize("risk", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("taken", [0.3, 1.0, 1.6])
def test_the_risk_budget_keeps_the_average(risk: float, taken: float) -> None:
    """Jobs whose true risk is `taken` times what they were allowed: the promise holds for honest and wrong crowds."""
    rng = np.random.default_rng(0)
    budget = RiskBudget()
    failures = []
    for _ in range(30_000):
        failed = bool(rng.random() < taken * budget.ceiling(risk))
        budget.observe(failed=failed, risk=risk)
        failures.append(failed)
    assert np.mean(failures) < 1.15 * risk
    if taken >= 1:
        assert np.mean(failures) > 0.85 * risk


def test_the_ceiling_stays_within_half_and_twice_the_risk() -> None:
    budget = RiskBudget()
    for failed, bound in ((True, 0.5), (False, 2.0)):
        for _ in range(5000):
            budget.observe(failed=failed, risk=USUAL_RISK)
            assert 0.5 * USUAL_RISK <= budget.ceiling(USUAL_RISK) <= 2 * USUAL_RISK
        assert budget.ceiling(USUAL_RISK) == pytest.approx(bound * USUAL_RISK)


def test_however_much_risk_is_accepted_a_job_has_an_allocation() -> None:
    budget = RiskBudget()
    for _ in range(500):
        budget.observe(failed=False, risk=0.5)
    ceiling = np.array([budget.ceiling(0.5)])
    quantiles = np.linspace(8, 10, len(LEVELS))[None]
    assert 8 <= safe_log2(quantiles, MEMORY, 0.5, ceiling)[0] <= 10
