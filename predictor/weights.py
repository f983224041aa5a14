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

from dataclasses import dataclass

import numpy as np

from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.settings import PartSettings, searched
from crowdrun.predictor.target import GROUPS

#: Jobs of the overall record that a group starts from.
BORROWED = 100.0
#: A loss below this is as good as none, log2.
SMALLEST_LOSS = 1e-4


@dataclass(frozen=True, kw_only=True)
class WeightsSettings(PartSettings):
    #: How hard a member is punished for a loss above the best one's, relative to the best one's.
    learning_rate: float = searched(5.0, 1.0, 20.0, log=True)
    #: Jobs after which a loss counts half, in a group and over all.
    group_half_life: float = searched(500.0, 100.0, 3000.0, log=True)
    overall_half_life: float = searched(1400.0, 300.0, 6000.0, log=True)


class Weights:
    """The record of the members' losses."""

    def __init__(self, members: int, settings: WeightsSettings | None = None) -> None:
        self.members = members
        self.settings = settings or WeightsSettings()
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
        weight = np.exp(-self.settings.learning_rate * (mean / mean.min() - 1))
        result: Array = weight / weight.sum()
        return result

    def observe(self, group: int, loss: Array) -> None:
        """Add the losses of one job: (members, levels)."""
        half_lives = (self.settings.group_half_life, self.settings.overall_half_life)
        for row, half_life in zip((group, GROUPS), half_lives, strict=True):
            fade = 0.5 ** (1 / half_life)
            self.loss[row] = self.loss[row] * fade + loss.mean(axis=-1)
            self.count[row] = self.count[row] * fade + 1
        self._cache.clear()
