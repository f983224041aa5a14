"""From a distribution to a request: lean, safe and the retry ladder.

Both have the least expected cost, where a failed attempt is costed: an attempt below the need holds what it was given
for the whole run and is followed by one with twice as much (the cost of Tovar et al., "A Job Sizing Strategy for
High-Throughput Scientific Workflows", IEEE TPDS 29, 2018; the doubling is what users do). They differ in what a failure
costs beyond that:

- **lean** adds a tenth of the attempt and a small price: the wait in the queue, the person who has to look;
- **safe** adds half of the attempt and five times the price, and never takes a risk above a ceiling. The ceiling is the
  risk that the user accepts, moved by `RiskBudget`: where memory is dear a job may use up to twice the risk, as far as
  jobs whose spare memory is cheap have saved it, so that over the jobs of a log the risk is kept.
"""

from dataclasses import dataclass

import numpy as np

from crowdrun.predictor.quantiles import ATOM_LEVELS, ATOM_PLACES, ATOM_WEIGHTS, Array, at_logit, expit, logit, logit_of
from crowdrun.predictor.target import Target

#: Jobs that are played through at once: as many as the nearer caches hold.
_BLOCK = 8
#: Doublings after which one more makes no difference: no cluster has 2^64 MB.
_MOST_FAILURES = 64
_FAILURES = np.arange(_MOST_FAILURES + 1)
#: What an allocation of 1 holds over its attempts, by the number of its failures, and how much more for each share of
#: an attempt that a failure costs beyond it.
_HELD: Array = np.exp2(_FAILURES + 1) - 1
_HELD_A_SHARE: Array = _HELD * _FAILURES

#: What a failure costs beyond the attempt itself, as a share of it.
LEAN_FAILURE_SHARE = 0.1
SAFE_FAILURE_SHARE = 0.5
#: And, for safe, this many times the target's price of a failure.
SAFE_PRICES = 5.0
#: The risk for which the prices of a failure are meant; they grow as the accepted risk shrinks.
USUAL_RISK = 0.05
#: No job is allowed more: twice a risk of a half would be certainty, which has no allocation.
MOST_RISK = 0.99


class Played:
    """Every need of some distributions tried as an allocation: what it would hold, and how often it would fail."""

    def __init__(self, quantiles: Array) -> None:
        """quantiles: (n, len(LEVELS)) log2, calibrated."""
        #: (n, len(ATOM_LEVELS)) log2, and what each costs as an allocation.
        self.needs = ATOM_PLACES.of_rows(quantiles)
        self._held, self._held_a_share, self._failing = (np.empty_like(self.needs) for _ in range(3))
        for start in range(0, len(quantiles), _BLOCK):
            self._play(slice(start, start + _BLOCK))
        amount = np.exp2(self.needs)
        self._held *= amount
        self._held_a_share *= amount

    def _play(self, rows: slice) -> None:
        # An allocation fails as often as its doublings take to reach the need.
        failures = self.needs[rows, None, :] - self.needs[rows, :, None]
        failures -= 1e-12
        times = np.ceil(failures, out=failures).astype(np.intp)
        # Below 0, where an allocation is larger than the need, counts as 0; above the most as the most.
        self._held[rows] = _HELD.take(times, mode="clip") @ ATOM_WEIGHTS
        self._held_a_share[rows] = _HELD_A_SHARE.take(times, mode="clip") @ ATOM_WEIGHTS
        self._failing[rows] = (times > 0) @ ATOM_WEIGHTS

    def lean(self, failure_price: Array | float) -> Array:
        """(n,) log2 of the allocation with the least expected wastage. failure_price: (n,) or one for all."""
        return self._cheapest(LEAN_FAILURE_SHARE, failure_price, None)

    def safe(self, failure_price: Array | float, risk: float, ceiling: Array) -> Array:
        """(n,) log2 of the allocation of least cost that keeps the risk; no less than the quantile of the ceiling,
        which is between two needs."""
        strictness = USUAL_RISK / risk
        price = SAFE_PRICES * failure_price * strictness
        return self._cheapest(SAFE_FAILURE_SHARE * strictness, price, ceiling)

    def _cheapest(self, failure_share: float, failure_price: Array | float, ceiling: Array | None) -> Array:
        expected = self._held + failure_share * self._held_a_share
        expected += np.reshape(failure_price, (-1, 1)) * self._failing
        if ceiling is not None:
            too_risky = 1 - ceiling[:, None] > ATOM_LEVELS
            # The highest need is always allowed, however small the ceiling.
            too_risky[:, -1] = False
            np.copyto(expected, np.inf, where=too_risky)
        chosen = expected.argmin(axis=1)
        result: Array = self.needs.take(chosen + self.needs.shape[1] * np.arange(len(chosen)))
        return result


def lean_log2(quantiles: Array, target: Target) -> Array:
    """(n,) log2 of the allocation with the least expected wastage. quantiles: (n, len(LEVELS)) log2, calibrated."""
    return Played(quantiles).lean(target.failure_price)


def safe_log2(quantiles: Array, target: Target, risk: float, ceiling: Array) -> Array:
    """(n,) log2 of the allocation that keeps the risk. ceiling: (n,) the largest risk that each job may take."""
    chosen = Played(quantiles).safe(target.failure_price, risk, ceiling)
    result: Array = np.maximum(chosen, at_logit(quantiles, logit(1 - ceiling)[:, None]))
    return result


def risk_at(quantiles: Array, allocation_log2: Array) -> Array:
    """(n,) the probability that each job needs more than its allocation."""
    return 1 - expit(logit_of(quantiles, allocation_log2))


def ladder_log2(quantiles: Array, first: Array, rungs: int = 3) -> Array:
    """(n, rungs) what to ask for after `first` was not enough: twice as much each time, or the highest quantile if that
    is more.

    quantiles: (n, len(LEVELS)) log2; first: (n,).
    """
    steps = [first]
    for _ in range(rungs):
        steps.append(np.maximum(steps[-1] + 1.0, quantiles[:, -1]))
    return np.stack(steps[1:], axis=1)


@dataclass(kw_only=True)
class RiskBudget:
    """Keeps the risk over all jobs: a running failure rate of the safe allocations, and the ceiling that follows.

    >>> budget = RiskBudget()
    >>> for _ in range(500):
    ...     budget.observe(failed=False, risk=0.05)
    >>> round(budget.ceiling(0.05), 3)
    0.1
    """

    #: Failures over the accepted risk, discounted: 1 is a promise kept to the letter.
    ratio: float = 1.0

    #: Share of the newest job in the ratio, once there are enough.
    NEWEST = 1 / 1000

    def observe(self, *, failed: bool, risk: float) -> None:
        self.ratio += self.NEWEST * (failed / risk - self.ratio)

    def ceiling(self, risk: float) -> float:
        """From half the risk, when the promise is being broken, to twice it, when jobs have saved enough."""
        return min(risk * float(np.clip(1 + 4 * (1 - self.ratio), 0.5, 2.0)), MOST_RISK)
