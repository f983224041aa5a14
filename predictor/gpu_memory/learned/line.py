"""The line from a step's features to the whole card: what is right for most, and holds beyond all that was measured.

Least absolute relative errors, by reweighted least squares: a run that crashed and was logged low must not turn it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from crowdrun.predictor.gpu_memory.learned.features import Array

#: Of the features; a constant comes on top.
COLUMNS = (
    "reserved", "parameters", "attention_maps", "window_io", "strided_io", "pointwise_io", "grouped_io", "window_weight"
)  # fmt: skip
#: Relative errors below this count alike.
_SMALLEST_ERROR = 0.01
#: Weight of the squared coefficients, each in units of its column's size, and the rounds of reweighting.
_PENALTY, _ROUNDS = 1e-5, 40


@dataclass(frozen=True)
class Line:
    """MB of the card = weights @ (1, COLUMNS)."""

    weights: Array

    @classmethod
    def fit(cls, columns: Mapping[str, Array], measured_mb: Array) -> Self:
        """(n,) columns and MB.

        >>> reserved = np.array([100.0, 1000.0, 5000.0, 9000.0])
        >>> found = Line.fit({"reserved": reserved}, 1.02 * reserved + 400)
        >>> [round(float(mb)) for mb in found.mb({"reserved": np.array([2000.0])})]
        [2440]
        """
        relative = _matrix(columns, len(measured_mb)) / measured_mb[:, None]
        size = np.sqrt((relative**2).mean(axis=0))
        scaled = relative / np.where(size, size, 1.0)
        weight = np.ones(len(scaled))
        penalty = _PENALTY * len(scaled) * np.eye(scaled.shape[1])
        for _ in range(_ROUNDS):
            weighted = scaled * weight[:, None]
            coefficients = np.linalg.solve(weighted.T @ scaled + penalty, weighted.sum(axis=0))
            weight = 1 / np.maximum(np.abs(1 - scaled @ coefficients), _SMALLEST_ERROR)
        return cls(coefficients / np.where(size, size, 1.0))

    def mb(self, columns: Mapping[str, Array]) -> Array:
        """(n,) MB of the card, at least what is reserved."""
        reserved = columns["reserved"]
        said: Array = np.maximum(_matrix(columns, len(reserved)) @ self.weights, reserved)
        return said


def _matrix(columns: Mapping[str, Array], rows: int) -> Array:
    return np.column_stack([np.ones(rows), *(columns.get(name, np.zeros(rows)) for name in COLUMNS)])
