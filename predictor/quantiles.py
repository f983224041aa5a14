"""The predictive distributions of the crowd: quantiles of log2 of a target on one grid of levels.

Between the levels of the grid a quantile is linear in the logit of the level; above the last level it goes on with the
slope of the last four, so that a calibration can ask for more than any learner foresaw.

>>> grid = np.log2([[100.0, 100, 100, 100, 110, 120, 140, 160, 200, 250, 300, 400, 600]])
>>> float(np.round(2 ** at_logit(grid, logit(np.array([0.5])))[0]))
120.0
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Probabilities at which every learner predicts; denser above, where requests are made.
LEVELS: Array = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.975, 0.99, 0.998])
#: Smallest slope beyond the grid, log2 a unit of logit: a family that never varied may still do so.
SMALLEST_SLOPE = 0.15
#: Largest slope beyond the grid: a far tail goes on, but a need of days must not become one of years.
LARGEST_SLOPE = 0.5
#: How many of the last levels give the slope beyond the grid.
_SLOPE_SPAN = 3


def logit(level: Array) -> Array:
    result: Array = np.log(level / (1 - level))
    return result


def expit(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


GRID: Array = logit(LEVELS)
_STEPS: Array = np.diff(GRID)


def between(lower: Array, upper: Array, share: Array) -> Array:
    """Values at these shares of the way from lower to upper; never above upper, so that rounding makes none cross."""
    result: Array = np.minimum(lower + share * (upper - lower), upper)
    return result


def slope_beyond(quantiles: Array) -> Array:
    """(n,) slope of each row above the grid, log2 a unit of logit."""
    rise = quantiles[:, -1] - quantiles[:, -1 - _SLOPE_SPAN]
    slope = rise / (GRID[-1] - GRID[-1 - _SLOPE_SPAN])
    result: Array = np.minimum(np.maximum(slope, SMALLEST_SLOPE), LARGEST_SLOPE)
    return result


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where k logits lie on the grid: worked out once for those that are asked for again and again."""

    #: (k,) the level of the grid above each, and the share of the way to it from the one below.
    upper: NDArray[np.intp]
    share: Array
    #: Which of them lie beyond the grid, and by how much.
    outside: NDArray[np.intp]
    beyond: Array

    @classmethod
    def of(cls, x: Array) -> "Places":
        upper, share, beyond = _on_grid(x)
        outside = (beyond > 0).nonzero()[0]
        return cls(upper=upper, share=share, outside=outside, beyond=beyond[outside])

    def of_rows(self, quantiles: Array) -> Array:
        """(n, k) the quantiles at these places, of each row of (n, len(LEVELS))."""
        value = between(quantiles.take(self.upper - 1, axis=1), quantiles.take(self.upper, axis=1), self.share)
        if len(self.outside):
            value[:, self.outside] += slope_beyond(quantiles)[:, None] * self.beyond
        return value


def _on_grid(x: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """The level above each logit, the share of the way to it, and how far the logit lies beyond the grid."""
    inside = np.minimum(np.maximum(x, GRID[0]), GRID[-1])
    upper = np.minimum(np.maximum(GRID.searchsorted(inside), 1), len(GRID) - 1)
    share = (inside - GRID.take(upper - 1)) / _STEPS.take(upper - 1)
    return upper, share, x - GRID[-1]


def at_logit(quantiles: Array, x: Array) -> Array:
    """Quantiles at logits x of the level: quantiles (n, len(LEVELS)), x (k,) for all rows or (n, k).

    Returns (n, k), or (n,) for k = 1.
    """
    x = np.atleast_2d(x)
    value = Places.of(x[0]).of_rows(quantiles) if len(x) == 1 else _at_own(quantiles, x)
    return value[:, 0] if value.shape[1] == 1 else value


def _at_own(quantiles: Array, x: Array) -> Array:
    """The same where each row has places of its own."""
    upper, share, beyond = _on_grid(x)
    place = upper + _first_of_row(quantiles)[:, None]
    value = between(quantiles.take(place - 1), quantiles.take(place), share)
    if np.maximum.reduce(beyond, axis=None) > 0:
        value += slope_beyond(quantiles)[:, None] * np.maximum(beyond, 0)
    return value


def _first_of_row(quantiles: Array) -> NDArray[np.intp]:
    """(n,) where each row begins when all are laid end to end."""
    return np.arange(0, quantiles.size, len(LEVELS))


def logit_of(quantiles: Array, value: Array) -> Array:
    """The logit of the level at which each row reaches its value: quantiles (n, len(LEVELS)), value (n,). Returns (n,).

    Below the grid it is one unit under the first level; above, it goes on with the slope of `at_logit`.
    """
    place = np.add.reduce(quantiles < value[:, None], axis=1, dtype=np.intp)
    upper = np.minimum(np.maximum(place, 1), len(GRID) - 1)
    flat = upper + _first_of_row(quantiles)
    lower = quantiles.take(flat - 1)
    step, rise = quantiles.take(flat) - lower, value - lower
    share = np.where(step > 1e-12, rise / np.maximum(step, 1e-12), 1.0)
    result: Array = GRID.take(upper - 1) + np.minimum(np.maximum(share, 0), 1) * _STEPS.take(upper - 1)
    result[place == 0] = GRID[0] - 1.0
    above = (value > quantiles[:, -1]).nonzero()[0]
    if len(above):
        over = quantiles[above]
        result[above] = GRID[-1] + (value[above] - over[:, -1]) / slope_beyond(over)
    return result


def truncate(quantiles: Array, bound: Array) -> Array:
    """The distributions given that the need is at most the bound: quantiles (n, len(LEVELS)), bound (n,), NaN for none.

    F(y | y <= b) = F(y) / F(b): the level l of the truncated row is the level l F(b) of the row.
    """
    result = quantiles.copy()
    rows = (bound < quantiles[:, -1]).nonzero()[0]
    if not len(rows):
        return result
    reached = expit(logit_of(quantiles[rows], bound[rows]))
    levels = np.minimum(np.maximum(LEVELS * reached[:, None], 1e-9), 1 - 1e-9)
    result[rows] = np.minimum(at_logit(quantiles[rows], logit(levels)), bound[rows, None])
    return result


def pinball(quantiles: Array, value: Array) -> Array:
    """Pinball loss at each level: quantiles (..., len(LEVELS)), value broadcast against (...,).

    Returns (..., len(LEVELS)).

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 46, 1978.
    """
    error = np.asarray(value)[..., None] - quantiles
    result: Array = np.maximum(LEVELS * error, (LEVELS - 1) * error)
    return result


#: A distribution as atoms: the values at these levels, each with its weight; denser above.
ATOM_LEVELS: Array = np.concatenate([(np.arange(40) + 0.5) / 40 * 0.9, 0.9 + (np.arange(8) + 0.5) / 8 * 0.1])
ATOM_WEIGHTS: Array = np.concatenate([np.full(40, 0.9 / 40), np.full(8, 0.1 / 8)])
ATOM_LOGITS: Array = logit(ATOM_LEVELS)
ATOM_PLACES = Places.of(ATOM_LOGITS)


def mixture(members: Array, weights: Array) -> Array:
    """Quantiles of the members' distributions mixed by weight: members (m, n, levels), weights (m, n).

    Returns (n, levels).

    Probabilities are averaged, not quantiles: a job that needs either 2 GB or 200 GB stays one that never needs 80.
    """
    count, rows, _ = members.shape
    size = count * len(ATOM_WEIGHTS)
    by_row = members.transpose(1, 0, 2).reshape(rows * count, -1)
    atoms = ATOM_PLACES.of_rows(by_row).reshape(rows, size)
    mass = (weights.T[:, :, None] * ATOM_WEIGHTS).reshape(rows, size)
    first = size * np.arange(rows)[:, None]
    order = np.argsort(atoms, axis=1, kind="stable") + first
    atoms, mass = atoms.take(order), mass.take(order)
    reached = mass.cumsum(axis=1) - mass / 2
    return _at_levels(atoms, reached)


def _at_levels(atoms: Array, reached: Array) -> Array:
    """(n, len(LEVELS)) the atoms (n, k) where their probability reaches each level, with straight lines between."""
    rows, size = atoms.shape
    # One search for all rows, each a unit above the one before.
    first = np.arange(rows)[:, None]
    place = (reached + first).ravel().searchsorted(LEVELS + first, side="right")
    upper = np.minimum(np.maximum(place, size * first + 1), size * first + size - 1)
    start, low = reached.take(upper - 1), atoms.take(upper - 1)
    # Atoms without a weight lie at one probability.
    share = (LEVELS - start) / np.maximum(reached.take(upper) - start, 1e-300)
    result: Array = low + np.minimum(np.maximum(share, 0), 1) * (atoms.take(upper) - low)
    return result
