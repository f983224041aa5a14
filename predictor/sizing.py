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

from crowdrun.predictor.quantiles import ATOM_LEVELS, ATOM_LOGITS, ATOM_WEIGHTS, Array, at_logit, expit, logit, logit_of
from crowdrun.predictor.target import Target

_BLOCK = 1000
#: Doublings after which one more makes no difference: no cluster has 2^64 MB.
_MOST_FAILURES = 64

#: What a failure costs beyond the attempt itself, as a share of it.
LEAN_FAILURE_SHARE = 0.1
SAFE_FAILURE_SHARE = 0.5
#: And, for safe, this many times the target's price of a failure.
SAFE_PRICES = 5.0
#: The risk for which the prices of a failure are meant; they grow as the accepted risk shrinks.
USUAL_RISK = 0.05


def lean_log2(quantiles: Array, target: Target) -> Array:
    """(n,) log2 of the allocation with the least expected wastage. quantiles: (n, len(LEVELS)) log2, calibrated."""
    return _cheapest(quantiles, LEAN_FAILURE_SHARE, target.failure_price, None)


def safe_log2(quantiles: Array, target: Target, risk: float, ceiling: Array) -> Array:
    """(n,) log2 of the allocation that keeps the risk. ceiling: (n,) the largest risk that each job may take."""
    strictness = USUAL_RISK / risk
    price = SAFE_PRICES * target.failure_price * strictness
    chosen = _cheapest(quantiles, SAFE_FAILURE_SHARE * strictness, price, ceiling)
    result: Array = np.maximum(chosen, at_logit(quantiles, logit(1 - ceiling)[:, None]))
    return result


def _cheapest(quantiles: Array, failure_share: float, failure_price: float, ceiling: Array | None) -> Array:
    """(n,) the need, of those played through, that costs least as an allocation."""
    result = np.empty(len(quantiles))
    # What an allocation of 1 costs in memory held, by the number of its failures.
    count = np.arange(_MOST_FAILURES + 1)
    of_held = (np.exp2(count + 1) - 1) * (1 + failure_share * count)
    for start in range(0, len(quantiles), _BLOCK):
        needs = at_logit(quantiles[start : start + _BLOCK], ATOM_LOGITS)
        # An allocation fails as often as its doublings take to reach the need.
        failures = np.ceil(needs[:, None, :] - needs[:, :, None] - 1e-12)
        failures = np.minimum(np.maximum(failures, 0), _MOST_FAILURES).astype(np.intp)
        expected = np.exp2(needs) * (of_held.take(failures) @ ATOM_WEIGHTS) + failure_price * (
            (failures > 0) @ ATOM_WEIGHTS
        )
        if ceiling is not None:
            too_risky = 1 - ceiling[start : start + _BLOCK, None] > ATOM_LEVELS
            # The highest need is always allowed, however small the ceiling.
            too_risky[:, -1] = False
            expected = np.where(too_risky, np.inf, expected)
        result[start : start + _BLOCK] = needs[np.arange(len(needs)), np.argmin(expected, axis=1)]
    return result


def risk_at(quantiles: Array, allocation_log2: Array) -> Array:
    """(n,) the probability that each job needs more than its allocation."""
    return 1 - expit(logit_of(quantiles, allocation_log2))


def ladder_log2(quantiles: Array, first: float, rungs: int = 3) -> tuple[float, ...]:
    """What to ask for after `first` was not enough: twice as much each time, or the highest quantile if that is more.

    quantiles: (len(LEVELS),) log2.
    """
    steps = [first]
    for _ in range(rungs):
        steps.append(max(steps[-1] + 1.0, float(quantiles[-1])))
    return tuple(steps[1:])


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
        return risk * float(np.clip(1 + 4 * (1 - self.ratio), 0.5, 2.0))
