"""The job's own past: what the earlier steps of its item tell, or else the range that its family has used.

`recent` adds the same margins to all; here they are in units of what varies in each. A family's middle is the highest
value of the closest past jobs, and its units are how far its values lie apart, above and below: a step that always
holds 39.4 GB is told within a few MB, one that needs 2 or 35 GB is not, and one that often needs less but never more
than 11 GB gets its room below. Where `predictor/items.py` has a line for the item, the middle is the line and the unit
its error; the line says no more than the range would where it stays within that. Jobs that have no family, only the
same user or group, are too unlike for a range: their unit is 1 log2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import NUMERIC_NAMES, Features
from crowdrun.predictor.history import RELATIONS
from crowdrun.predictor.learner import Joint, Learner
from crowdrun.predictor.learners.blending import blend
from crowdrun.predictor.panel import Panel, stack
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.settings import PartSettings

#: Relations up to this one make a family.
LAST_OF_FAMILY = RELATIONS.index("same user and command")
#: What a margin can rest on.
ITEM, FAMILY, OTHERS, NONE = 0, 1, 2, -1
#: Classes of how many values there are: 1, 2, 3-4, 5-8, 9-16, 17-39, all that are remembered; for an item, of how many
#: items are near in size.
COUNT_EDGES = np.log2(1 + np.array([1, 2, 4, 8, 16, 39])) + 1e-6
#: Values that are closer than this are one, log2: 1% in a family, 0.3% on a line.
SMALLEST_SPREAD_LOG2, SMALLEST_ERROR_LOG2 = 0.015, 0.004
#: What of the ways from the 90th percentile and from the lowest value to the highest makes a unit above; and of the
#: ways from the median and from the lowest a unit below (docs/log.md).
ABOVE_P90_SHARE, ABOVE_LOWEST_SHARE = 0.5, 0.05
BELOW_MEDIAN_SHARE, BELOW_LOWEST_SHARE = 0.3, 0.1
#: The spread that a family with few values is lent, log2, and how many values it counts for.
LENT_SPREAD_LOG2 = 0.3
LENT_VALUES = 0.5
#: Places are cut here: a single odd job must not decide.
LARGEST_PLACE = 200.0
#: And no margin of more than 2^6 is believed, as in `linear`: many spreads of a wide family would be years.
LARGEST_MARGIN_LOG2 = 6.0
#: A line that is less than this above the highest value of the family, log2, has the room that the family has.
LINE_BEYOND_LOG2 = 0.3
#: Where nothing was seen yet: the margins of a normal distribution, half as wide again.
_FIRST_PLACES: Array = 1.5 * np.array(
    [-2.05, -1.64, -1.28, -0.84, -0.39, 0.0, 0.39, 0.84, 1.28, 1.64, 1.96, 2.33, 2.88]
)


class OwnRange(Learner):
    name = "own_range"

    def fit(self, features: Features, target: Array) -> None:
        self._places = np.empty((3, len(COUNT_EDGES) + 1, len(LEVELS)))
        families, items = _families(features), _items(features)
        for basis, margins in ((ITEM, items), (FAMILY, families), (OTHERS, families)):
            here = margins.basis == basis
            place, count = margins.place(target)[here], margins.count[here]
            # Places of another basis are in another unit: nothing is borrowed from them.
            wide = blend(place, _FIRST_PLACES)
            for c in range(len(COUNT_EDGES) + 1):
                self._places[basis, c] = blend(place[count == c], wide)

    @classmethod
    def joint(cls, members: Sequence[Self]) -> Joint:
        return _OwnRanges(members)

    def save(self, folder: Path) -> None:
        np.savez(folder / "own_range.npz", places=self._places)

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._places = load_arrays(folder / "own_range.npz")["places"].astype(np.float64)
        return learner


class _OwnRanges(Joint):
    def __init__(self, members: Sequence[OwnRange]) -> None:
        self._places = stack([member._places for member in members])

    def predict(self, panel: Panel) -> Array:
        families, items = _families(panel.features), _items(panel.features)
        of_family = self._quantiles(families, panel)
        if not (items.basis == ITEM).any():
            return of_family
        of_item = self._quantiles(items, panel)
        within = (families.basis == FAMILY) & (items.middle < families.middle + LINE_BEYOND_LOG2)
        most = np.maximum(of_family, items.middle[:, None])
        of_item = np.where(within[:, None], np.minimum(of_item, most), of_item)
        result: Array = np.where((items.basis == ITEM)[:, None], of_item, of_family)
        return result

    def _quantiles(self, margins: "_Margins", panel: Panel) -> Array:
        return margins.quantiles(self._places[panel.target_of_row, margins.basis, margins.count])


def _columns(statistic: str) -> NDArray[np.intp]:
    return np.array([NUMERIC_NAMES.index(f"{statistic} ({relation})") for relation in RELATIONS])


#: (5, relations)
_STATISTICS = np.stack([_columns(name) for name in ("count", "highest", "p90", "median", "lowest")])
_RELATION = NUMERIC_NAMES.index("anchor_relation")
_ITEM = [NUMERIC_NAMES.index(name) for name in ("item_value", "item_spread", "item_near")]


@dataclass(frozen=True, kw_only=True)
class _Margins:
    """What the margins of n jobs rest on; the middle relative to the anchor, the units in log2."""

    #: ITEM, FAMILY or OTHERS; NONE where there is nothing, and then the middle is NaN.
    basis: NDArray[np.intp]
    #: Class of how much stands behind it.
    count: NDArray[np.intp]
    middle: Array
    above: Array
    below: Array

    def place(self, target: Array) -> Array:
        """(n,) where the values lie, in units from the middle."""
        unit = np.where(target > self.middle, self.above, self.below)
        return np.clip((target - self.middle) / unit, -LARGEST_PLACE, LARGEST_PLACE)

    def quantiles(self, place: Array) -> Array:
        """(n, levels) the values that lie at these places (n, levels)."""
        margin = np.where(place > 0, self.above[:, None], self.below[:, None]) * place
        result: Array = self.middle[:, None] + np.minimum(np.maximum(margin, -LARGEST_MARGIN_LOG2), LARGEST_MARGIN_LOG2)
        return result


def _families(features: Features) -> _Margins:
    numeric = features.numeric
    relation = numeric[:, _RELATION].astype(np.intp)
    reach = np.minimum(relation, len(RELATIONS) - 1)
    places = _STATISTICS.take(reach, axis=1) + np.arange(0, numeric.size, numeric.shape[1])
    known, highest, p90, median, lowest = _known_or_0(numeric.take(places))
    family = relation <= LAST_OF_FAMILY
    values = np.maximum(np.exp2(known) - 1, LENT_VALUES)
    least = SMALLEST_SPREAD_LOG2 + LENT_SPREAD_LOG2 * LENT_VALUES / values**2
    above = least + ABOVE_P90_SHARE * (highest - p90) + ABOVE_LOWEST_SHARE * (highest - lowest)
    below = least + BELOW_MEDIAN_SHARE * (highest - median) + BELOW_LOWEST_SHARE * (highest - lowest)
    return _Margins(
        basis=np.where(family, FAMILY, OTHERS), count=COUNT_EDGES.searchsorted(known), middle=highest,
        above=np.where(family, above, 1.0), below=np.where(family, below, 1.0),
    )  # fmt: skip


def _items(features: Features) -> _Margins:
    line, error, near = features.numeric[:, _ITEM].astype(np.float64).T
    told = ~np.isnan(line)
    unit = np.where(told, error, 0.0) + SMALLEST_ERROR_LOG2
    return _Margins(
        basis=np.where(told, ITEM, NONE), count=COUNT_EDGES.searchsorted(near), middle=line, above=unit, below=unit
    )


def _known_or_0(values: NDArray[np.float32]) -> Array:
    result = values.astype(np.float64)
    result[np.isnan(result)] = 0.0
    return result
