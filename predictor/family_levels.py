"""The levels of each family of jobs, before the calibration of all: what never varies is given no margin for what does.

Each ended job leaves a score with its family, the logit of the level at which the crowd's raw distribution reached its
value. A family's levels are the quantiles of its own recent scores and of what the crowd says of it, which counts as
much as PRIOR scores: Mondrian conformal prediction (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World",
2005, chapter 4) shrunk to the crowd, since most families have a handful of jobs. What it promises need not hold over
all jobs; `calibration.py` comes after it and sees to that.

>>> levels = FamilyLevels()
>>> bool(np.allclose(levels.logits(("ada", "train")), GRID))
True
>>> for _ in range(60):
...     levels.observe(("ada", "train"), 0.0)
>>> [round(float(level), 1) for level in levels.logits(("ada", "train"))[[5, 8, 10]]]
[0.0, 1.5, 3.0]
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from crowdrun.predictor.history import Key
from crowdrun.predictor.quantiles import GRID, LEVELS, Array, expit, logit
from crowdrun.predictor.settings import PartSettings, searched

#: Scores that are kept of a family; at the usual half-life older ones count under 7%.
KEPT = 200
#: Logits beyond which no family's levels are moved.
LARGEST_LOGIT = 12.0


@dataclass(frozen=True, kw_only=True)
class FamilyLevelsSettings(PartSettings):
    #: Scores that the crowd's own word is worth.
    prior: float = searched(50.0, 10.0, 500.0, log=True)
    #: Jobs of a family after which a score counts half.
    half_life: float = searched(50.0, 10.0, 500.0, log=True)


class FamilyLevels:
    """The scores of the ended jobs of each family, oldest first."""

    def __init__(self, settings: FamilyLevelsSettings | None = None) -> None:
        self.settings = settings or FamilyLevelsSettings()
        self.scores: dict[Key, deque[float]] = {}
        self._cache: dict[Key, Array] = {}

    def observe(self, family: Key | None, score: float) -> None:
        """A job of the family ended; one without a family teaches none."""
        if family is None:
            return
        self.scores.setdefault(family, deque(maxlen=KEPT)).append(score)
        self._cache.pop(family, None)

    def logits(self, family: Key | None) -> Array:
        """The logit at which the raw distribution is read for each of LEVELS, non-decreasing."""
        if family is None or family not in self.scores:
            return GRID
        found = self._cache.get(family)
        if found is None:
            found = self._cache[family] = self._of(np.array(self.scores[family]))
        return found

    def _of(self, scores: Array) -> Array:
        """Where the scores' steps and the crowd's own word, a smooth curve, together reach each level."""
        prior = self.settings.prior
        weight = 0.5 ** (np.arange(len(scores))[::-1] / self.settings.half_life)
        order = np.argsort(scores)
        at, counted = scores[order], np.concatenate([[0.0], np.cumsum(weight[order])])
        wanted = LEVELS * (prior + counted[-1])
        smooth = prior * expit(at)
        place = np.searchsorted(smooth + counted[1:], wanted)
        # Up to the step there is only the curve; the step itself may reach the level.
        share = np.clip((wanted - counted[place]) / prior, 1e-9, 1 - 1e-9)
        before_step = logit(share)
        step = np.append(at, np.inf)[place]
        result: Array = np.clip(np.minimum(before_step, step), -LARGEST_LOGIT, LARGEST_LOGIT)
        return result
