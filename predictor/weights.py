"""How much each member counts: weights that follow each member's recent loss, for each group of jobs.

An exponentially weighted forecaster (Cesa-Bianchi and Lugosi, "Prediction, Learning, and Games", 2006, ch. 2) on the
discounted pinball loss over the levels, which is the continuous ranked probability score but for a factor. Its regret
against the best member of a group is bounded; a group with few jobs leans on all jobs. One set of weights a level
(Berrisch and Ziel, "CRPS Learning", Journal of Econometrics 237, 2023) was tried and is no better (docs/log.md).

>>> from crowdrun.predictor.quantiles import LEVELS
>>> weights = Weights(members=2)
>>> for _ in range(200):
...     weights.observe(0, np.stack([np.full(len(LEVELS), 0.1), np.full(len(LEVELS), 0.3)]))
>>> bool(weights.of(0)[0] > 0.99), float(weights.of(1).sum().round(6))
(True, 1.0)
"""

import numpy as np

from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.target import GROUPS

#: How hard a member is punished for a loss above the best one's, relative to the best one's.
LEARNING_RATE = 5.0
#: Jobs after which a loss counts half, in a group and over all.
GROUP_HALF_LIFE = 500.0
OVERALL_HALF_LIFE = 1400.0
#: Jobs of the overall record that a group starts from.
BORROWED = 100.0
#: A loss below this is as good as none, log2.
SMALLEST_LOSS = 1e-4


class Weights:
    """The record of the members' losses."""

    def __init__(self, members: int) -> None:
        self.members = members
        #: Discounted sums of the losses and counts; the last row is over all groups.
        self.loss = np.zeros((GROUPS + 1, members))
        self.count = np.zeros(GROUPS + 1)
        self._cache: dict[int, Array] = {}

    def of(self, group: int) -> Array:
        """(members,), sums to 1."""
        if group not in self._cache:
            self._cache[group] = self._compute(group)
        return self._cache[group]

    def _compute(self, group: int) -> Array:
        if not self.count[-1]:
            return np.full(self.members, 1 / self.members)
        overall = self.loss[-1] / self.count[-1]
        mean = (self.loss[group] + BORROWED * overall) / (self.count[group] + BORROWED)
        mean = np.maximum(mean, SMALLEST_LOSS)
        weight = np.exp(-LEARNING_RATE * (mean / mean.min() - 1))
        result: Array = weight / weight.sum()
        return result

    def observe(self, group: int, loss: Array) -> None:
        """Add the losses of one job: (members, levels)."""
        for row, half_life in ((group, GROUP_HALF_LIFE), (GROUPS, OVERALL_HALF_LIFE)):
            fade = 0.5 ** (1 / half_life)
            self.loss[row] = self.loss[row] * fade + loss.mean(axis=-1)
            self.count[row] = self.count[row] * fade + 1
        self._cache.clear()
