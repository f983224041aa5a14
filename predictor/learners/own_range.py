"""The job's own past: what the earlier steps of its item tell, or else the range that its family has used.

`recent` adds the same margins to all; here they are in units of what varies in each. Where `predictor/items.py` has a
line for the item, the middle is the line and the unit its error. Elsewhere the middle is the highest value of the
closest past jobs and the unit their spread: a step that always holds 39.4 GB is told within a few MB, one that needs 2
or 35 GB is not. Jobs that have no family, only the same user or group, are too unlike for that: their unit is 1 log2.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import NUMERIC_NAMES, Features
from crowdrun.predictor.history import RELATIONS
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.learners.blending import blend
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.settings import PartSettings

#: Relations up to this one make a family.
LAST_OF_FAMILY = RELATIONS.index("same user and command")
#: What a margin can rest on.
ITEM, FAMILY, OTHERS = range(3)
#: Classes of how many values there are: 1, 2, 3-4, 5-8, 9-16, 17-39, all that are remembered; for an item, of how many
#: items are near in size.
COUNT_EDGES = np.log2(1 + np.array([1, 2, 4, 8, 16, 39])) + 1e-6
#: Values that are closer than this are one, log2: 1% in a family, 0.3% on a line.
SMALLEST_SPREAD_LOG2, SMALLEST_ERROR_LOG2 = 0.015, 0.004
#: What of the way from the median, and from the lowest value, to the highest makes the spread: half of both is worse,
#: since margins grow less than the range does (docs/log.md).
MIDDLE_SHARE, WHOLE_SHARE = 0.3, 0.1
#: The spread that a family with few values is lent, log2, and how many values it counts for.
LENT_SPREAD_LOG2 = 0.3
LENT_VALUES = 0.5
#: Places are cut here: a single odd job must not decide.
LARGEST_PLACE = 200.0
#: And no margin of more than 2^6 is believed, as in `linear`: many spreads of a wide family would be years.
LARGEST_MARGIN_LOG2 = 6.0
#: Where nothing was seen yet: the margins of a normal distribution, half as wide again.
_FIRST_PLACES: Array = 1.5 * np.array(
    [-2.05, -1.64, -1.28, -0.84, -0.39, 0.0, 0.39, 0.84, 1.28, 1.64, 1.96, 2.33, 2.88]
)


class OwnRange(Learner):
    name = "own_range"

    def fit(self, features: Features, target: Array) -> None:
        own = _Own.of(features)
        place = np.clip((target - own.middle) / own.unit, -LARGEST_PLACE, LARGEST_PLACE)
        self._places = np.empty((3, len(COUNT_EDGES) + 1, len(LEVELS)))
        for basis in (ITEM, FAMILY, OTHERS):
            here = own.basis == basis
            # Places of another basis are in another unit: nothing is borrowed from them.
            wide = blend(place[here], _FIRST_PLACES)
            for count in range(len(COUNT_EDGES) + 1):
                self._places[basis, count] = blend(place[here & (own.count == count)], wide)

    def predict(self, features: Features) -> Array:
        own = _Own.of(features)
        margin = own.unit[:, None] * self._places[own.basis, own.count]
        result: Array = own.middle[:, None] + np.clip(margin, -LARGEST_MARGIN_LOG2, LARGEST_MARGIN_LOG2)
        return result

    def save(self, folder: Path) -> None:
        np.savez(folder / "own_range.npz", places=self._places)

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._places = load_arrays(folder / "own_range.npz")["places"].astype(np.float64)
        return learner


def _columns(statistic: str) -> NDArray[np.intp]:
    return np.array([NUMERIC_NAMES.index(f"{statistic} ({relation})") for relation in RELATIONS])


_HIGHEST, _MEDIAN, _LOWEST, _COUNT = (_columns(name) for name in ("highest", "median", "lowest", "count"))
_RELATION = NUMERIC_NAMES.index("anchor_relation")
_ITEM_VALUE, _ITEM_SPREAD, _ITEM_NEAR = (
    NUMERIC_NAMES.index(name) for name in ("item_value", "item_spread", "item_near")
)


@dataclass(frozen=True, kw_only=True)
class _Own:
    """What n jobs' margins rest on; middle relative to the anchor, unit in log2."""

    basis: NDArray[np.intp]
    #: Class of how much stands behind it.
    count: NDArray[np.intp]
    middle: Array
    unit: Array

    @classmethod
    def of(cls, features: Features) -> "_Own":
        numeric = features.numeric
        relation = numeric[:, _RELATION].astype(np.intp)
        rows, reach = np.arange(len(features)), np.minimum(relation, len(RELATIONS) - 1)
        known = numeric[rows, _COUNT[reach]].astype(np.float64)
        highest, median, lowest = (
            np.nan_to_num(numeric[rows, column[reach]].astype(np.float64)) for column in (_HIGHEST, _MEDIAN, _LOWEST)
        )
        spread = SMALLEST_SPREAD_LOG2 + MIDDLE_SHARE * (highest - median) + WHOLE_SHARE * (highest - lowest)
        values = np.maximum(np.exp2(known) - 1, LENT_VALUES)
        spread += LENT_SPREAD_LOG2 * LENT_VALUES / values**2
        told = ~np.isnan(numeric[:, _ITEM_VALUE])
        line, error, near = (
            np.nan_to_num(numeric[:, column].astype(np.float64)) for column in (_ITEM_VALUE, _ITEM_SPREAD, _ITEM_NEAR)
        )
        family = relation <= LAST_OF_FAMILY
        return cls(
            basis=np.where(told, ITEM, np.where(family, FAMILY, OTHERS)),
            count=np.searchsorted(COUNT_EDGES, np.where(told, near, known)),
            middle=np.where(told, line, highest),
            unit=np.where(told, error + SMALLEST_ERROR_LOG2, np.where(family, spread, 1.0)),
        )
