"""Numeric features as learners that need them complete and of one size want them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.features import Features
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
