"""How far off a forecast may be, by what is forecast: a margin that is wide where measured steps were far off.

A ridge regression of the logarithm of the error's size; the network whose convolutions leave cuDNN a choice gets more
on top than the transformer that leaves it none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.gpu_memory.learned.features import Array

#: Errors (of a logarithm) below this are not told apart.
_SMALLEST_ERROR = 0.005
_PENALTY = 50.0


@dataclass(frozen=True)
class Spread:
    """The expected size of an error = exp(weights @ (1, the scaled shares)), within what was seen."""

    middle: Array
    spread: Array
    weights: Array
    #: (2,) the smallest and the largest that it ever says.
    bounds: Array

    @classmethod
    def fit(cls, shares: Array, errors: Array) -> Self:
        """From (n, k) `shares` and (n,) errors of logarithms, of steps that were not learned from."""
        middle, spread = shares.mean(axis=0), shares.std(axis=0)
        scale: Array = np.where(spread > 1e-9, spread, 1.0).astype(np.float64)
        columns = _with_one((shares - middle) / scale)
        size = np.log(np.abs(errors) + _SMALLEST_ERROR)
        penalty = _PENALTY * np.eye(columns.shape[1])
        weights: Array = np.linalg.solve(columns.T @ columns + penalty, columns.T @ size).astype(np.float64)
        said = columns @ weights
        return cls(middle, scale, weights, np.array([said.min(), said.max()], dtype=np.float64))

    def of(self, shares: Array) -> Array:
        """(n,) of (n, k) shares."""
        said = _with_one((shares - self.middle) / self.spread) @ self.weights
        found: Array = np.exp(np.clip(said, *self.bounds))
        return found

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return {"middle": self.middle, "spread": self.spread, "weights": self.weights, "bounds": self.bounds}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        return cls(*(arrays[name].astype(np.float64) for name in ("middle", "spread", "weights", "bounds")))


def _with_one(columns: Array) -> Array:
    return np.column_stack([np.ones(len(columns)), columns])
