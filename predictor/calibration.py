"""So that 95% means 95% on the jobs to come: the level is moved to where past jobs of the same group fell.

Each ended job leaves a score, the logit of the level at which its prediction reached its value. A level is answered by
the quantile of the recent scores: distributional conformal prediction (Chernozhukov, Wuethrich, Zhu, "Distributional
conformal prediction", PNAS 118, 2021), with the scores weighted by age, so that it follows a log that drifts (Barber,
Candes, Ramdas, Tibshirani, "Conformal prediction beyond exchangeability", Annals of Statistics 51, 2023), and by group
(Mondrian). The level is moved, not the value: an offset on the value costs 20 to 60% more memory for the same failures
(docs/log.md).

>>> calibration = Calibration()
>>> for score in np.linspace(0, 4, 2000):
...     calibration.observe(0, float(score))
>>> bool(calibration.logits(0)[5] > 2.0)
True
"""

from dataclasses import dataclass

import numpy as np

from crowdrun.predictor.quantiles import LEVELS, Array, logit
from crowdrun.predictor.settings import PartSettings, searched

#: Scores that are kept; older ones count under 3%.
KEPT = 8000
#: What a score of another group counts.
OTHER_GROUP = 0.1
#: Pseudo-scores that say "the crowd is right as it is", so that a young log is not calibrated by a handful of jobs.
PRIOR_SCORES = 30
#: Answers are computed anew after so many scores of a group.
REFRESH = 10
#: Logit beyond which nothing is asked for.
LARGEST_LOGIT = 12.0

_PRIOR: Array = logit((np.arange(PRIOR_SCORES) + 0.5) / PRIOR_SCORES)


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings(PartSettings):
    #: Jobs after which a score counts half.
    half_life: float = searched(1500.0, 200.0, 5000.0, log=True)


class Calibration:
    """The scores of ended jobs, oldest first."""

    def __init__(self, settings: CalibrationSettings | None = None) -> None:
        self.settings = settings or CalibrationSettings()
        self.scores: list[float] = []
        self.groups: list[int] = []
        self._cache: dict[int, Array] = {}
        self._since = 0

    def observe(self, group: int, score: float) -> None:
        self.scores.append(score)
        self.groups.append(group)
        if len(self.scores) >= 2 * KEPT:
            del self.scores[:-KEPT], self.groups[:-KEPT]
        self._since += 1
        if self._since >= REFRESH:
            self.refresh()

    def refresh(self) -> None:
        """Answer from every score there is, from now on."""
        self._cache.clear()
        self._since = 0

    def logits(self, group: int) -> Array:
        """The calibrated logit for each of LEVELS, non-decreasing."""
        if group not in self._cache:
            self._cache[group] = self.at(group, LEVELS)
        return self._cache[group]

    def at(self, group: int, levels: Array) -> Array:
        """The calibrated logits for some levels: (k,) in (0, 1)."""
        scores = np.array(self.scores[-KEPT:], dtype=np.float64)
        groups = np.array(self.groups[-KEPT:], dtype=np.intp)
        age = np.arange(len(scores))[::-1]
        weight = 0.5 ** (age / self.settings.half_life) * np.where(groups == group, 1.0, OTHER_GROUP)
        scores = np.concatenate([scores, _PRIOR])
        weight = np.concatenate([weight, np.ones(PRIOR_SCORES)])
        order = np.argsort(scores)
        reached = np.cumsum(weight[order])
        # The score of the job to come is not known: it may be the largest (the +1 of split conformal).
        total = reached[-1] + 1.0
        place = np.minimum(np.searchsorted(reached, levels * total), len(order) - 1)
        result: Array = np.minimum(scores[order][place], LARGEST_LOGIT)
        return result
