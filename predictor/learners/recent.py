"""Last k of the same key: what the closest past jobs used, with the margins that such a guess needed so far.

The maximum of the last values of the closest relation is the guess (Tsafrir, Etsion, Feitelson, "Backfilling Using
System-Generated Predictions Rather than User Runtime Estimates", IEEE TPDS 2007, uses the last two); its distribution
is that of the errors of the same guess on past jobs with as much history.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import NUMERIC_NAMES, Features
from crowdrun.predictor.history import RELATIONS
from crowdrun.predictor.learner import Joint, Learner
from crowdrun.predictor.learners.blending import blend
from crowdrun.predictor.panel import Panel, stack
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.settings import PartSettings, searched

#: Classes of how many values the closest relation has: 1, 2, 3-4, 5-8, 9-16, more.
COUNT_EDGES = np.log2(1 + np.array([1, 2, 4, 8, 16])) + 1e-6
_CELLS = (len(RELATIONS) + 1, len(COUNT_EDGES) + 1)


@dataclass(frozen=True, kw_only=True)
class RecentSettings(PartSettings):
    #: Errors of the wider class that a class starts from, so that a class with few errors is not overconfident.
    borrowed: float = searched(20.0, 3.0, 100.0, log=True)


class Recent(Learner):
    name = "recent"
    settings_type = RecentSettings
    settings: RecentSettings

    def fit(self, features: Features, target: Array) -> None:
        relation, count, guess = _closest(features)
        error = target - guess
        everything = np.quantile(error, LEVELS)
        self._quantiles = np.empty((*_CELLS, len(LEVELS)))
        for r in range(_CELLS[0]):
            of_relation = error[relation == r]
            wide = blend(of_relation, everything, self.settings.borrowed)
            for c in range(_CELLS[1]):
                self._quantiles[r, c] = blend(of_relation[count[relation == r] == c], wide, self.settings.borrowed)

    @classmethod
    def joint(cls, members: Sequence[Self]) -> Joint:
        return _Recents(members)

    def save(self, folder: Path) -> None:
        np.savez(folder / "recent.npz", quantiles=self._quantiles)

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._quantiles = load_arrays(folder / "recent.npz")["quantiles"].astype(np.float64)
        return learner


_HIGHEST = np.array([NUMERIC_NAMES.index(f"highest_of_5 ({relation})") for relation in RELATIONS])
_COUNT = np.array([NUMERIC_NAMES.index(f"count ({relation})") for relation in RELATIONS])
_RELATION = NUMERIC_NAMES.index("anchor_relation")


def _closest(features: Features) -> tuple[np.ndarray, np.ndarray, Array]:
    """The closest relation (len(RELATIONS) for none), its class of count, and the guess, relative to the anchor."""
    relation = features.numeric[:, _RELATION].astype(np.intp)
    numeric = features.numeric
    reach = np.minimum(relation, len(RELATIONS) - 1)
    first = np.arange(0, numeric.size, numeric.shape[1])
    count = COUNT_EDGES.searchsorted(numeric.take(_COUNT.take(reach) + first))
    guess = numeric.take(_HIGHEST.take(reach) + first).astype(np.float64)
    guess[np.isnan(guess)] = 0.0
    return relation, count, guess


class _Recents(Joint):
    def __init__(self, members: Sequence[Recent]) -> None:
        self._quantiles = stack([member._quantiles for member in members])

    def predict(self, panel: Panel) -> Array:
        relation, count, guess = _closest(panel.features)
        result: Array = guess[:, None] + self._quantiles[panel.target_of_row, relation, count]
        return result
