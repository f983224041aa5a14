"""Numeric features as learners that need them complete and of one size want them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.features import Features
from crowdrun.predictor.panel import Panel
from crowdrun.predictor.quantiles import Array

#: Standardised values are cut here: a single odd request must not decide.
LARGEST = 4.0


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Mean and spread of each column, columns that never vary left out."""

    columns: NDArray[np.intp]
    mean: Array
    spread: Array

    @classmethod
    def of(cls, features: Features) -> "Scaling":
        numeric = features.numeric.astype(np.float64)
        known = ~np.isnan(numeric)
        count = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, numeric, 0.0)
        mean = filled.sum(axis=0) / count
        spread = np.sqrt((np.where(known, numeric - mean, 0.0) ** 2).sum(axis=0) / count)
        columns = np.flatnonzero(spread > 1e-6)
        return cls(columns=columns, mean=mean[columns], spread=spread[columns])

    def apply(self, features: Features) -> Array:
        """(n, columns), unknown values at the mean."""
        scaled = (features.numeric.take(self.columns, axis=1) - self.mean) / self.spread
        scaled[np.isnan(scaled)] = 0.0
        result: Array = np.minimum(np.maximum(scaled, -LARGEST), LARGEST)
        return result

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {"columns": self.columns, "mean": self.mean, "spread": self.spread}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> "Scaling":
        return cls(columns=arrays["columns"], mean=arrays["mean"], spread=arrays["spread"])  # type: ignore[arg-type]


class Scalings:
    """The scalings of several targets as one: every column is there, those that a target leaves out are 0."""

    def __init__(self, scalings: Sequence[Scaling]) -> None:
        #: Columns that any of them takes, as a width.
        self.width = 1 + max(int(scaling.columns.max(initial=0)) for scaling in scalings)
        self._mean = np.zeros((len(scalings), 1, self.width))
        self._spread = np.full((len(scalings), 1, self.width), np.inf)
        for place, scaling in enumerate(scalings):
            self._mean[place, 0, scaling.columns] = scaling.mean
            self._spread[place, 0, scaling.columns] = scaling.spread
        # Members that were fitted on the same jobs scale alike: what one has scaled the others take over.
        self._key = (self._mean.tobytes(), self._spread.tobytes())

    def apply(self, panel: Panel) -> Array:
        """(targets, jobs, width), unknown values at the mean."""
        return panel.once(self._key, lambda: self._scaled(panel))

    def _scaled(self, panel: Panel) -> Array:
        scaled: Array = (panel.by_target(panel.features.numeric[:, : self.width]) - self._mean) / self._spread
        scaled[np.isnan(scaled)] = 0.0
        np.maximum(scaled, -LARGEST, out=scaled)
        np.minimum(scaled, LARGEST, out=scaled)
        return scaled

    def spread_out(self, weights: Array, scaling: Scaling) -> Array:
        """Weights of the columns of one target's scaling as weights of all."""
        result = np.zeros((self.width, *weights.shape[1:]))
        result[scaling.columns] = weights
        return result
