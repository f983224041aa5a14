"""The predictive distributions of the crowd: quantiles of log2 of a target on one grid of levels.

Between the levels of the grid a quantile is linear in the logit of the level; above the last level it goes on with the
slope of the last four, so that a calibration can ask for more than any learner foresaw.

>>> grid = np.log2([[100.0, 100, 100, 100, 110, 120, 140, 160, 200, 250, 300, 400, 600]])
>>> float(np.round(2 ** at_logit(grid, logit(np.array([0.5])))[0]))
120.0
"""

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


def between(lower: Array, upper: Array, share: Array) -> Array:
    """Values at these shares of the way from lower to upper; never above upper, so that rounding makes none cross."""
    result: Array = np.minimum(lower + share * (upper - lower), upper)
    return result


def slope_beyond(quantiles: Array) -> Array:
    """(n,) slope of each row above the grid, log2 a unit of logit."""
    rise = quantiles[:, -1] - quantiles[:, -1 - _SLOPE_SPAN]
    result: Array = np.clip(rise / (GRID[-1] - GRID[-1 - _SLOPE_SPAN]), SMALLEST_SLOPE, LARGEST_SLOPE)
    return result


def at_logit(quantiles: Array, x: Array) -> Array:
    """Quantiles at logits x of the level: quantiles (n, len(LEVELS)), x (k,) for all rows or (n, k).

    Returns (n, k), or (n,) for k = 1.
    """
    x = np.atleast_2d(x)
    inside = np.minimum(np.maximum(x, GRID[0]), GRID[-1])
    upper = np.minimum(np.maximum(GRID.searchsorted(inside), 1), len(GRID) - 1)
    share = (inside - GRID[upper - 1]) / (GRID[upper] - GRID[upper - 1])
    # The same places for all rows are taken as columns; rows with places of their own are picked one by one.
    rows: slice | NDArray[np.intp] = slice(None) if len(x) == 1 else np.arange(len(quantiles))[:, None]
    upper = upper[0] if len(x) == 1 else upper
    value = between(quantiles[rows, upper - 1], quantiles[rows, upper], share)
    beyond = x - GRID[-1]
    if beyond.max(initial=0.0) > 0:
        value = value + slope_beyond(quantiles)[:, None] * np.maximum(beyond, 0)
    result: Array = value[:, 0] if value.shape[1] == 1 else value
    return result


def logit_of(quantiles: Array, value: Array) -> Array:
    """The logit of the level at which each row reaches its value: quantiles (n, len(LEVELS)), value (n,). Returns (n,).

    Below the grid it is one unit under the first level; above, it goes on with the slope of `at_logit`.
    """
    place = (quantiles < value[:, None]).sum(axis=1)
    upper = np.minimum(np.maximum(place, 1), len(GRID) - 1)
    rows = np.arange(len(quantiles))
    step = quantiles[rows, upper] - quantiles[rows, upper - 1]
    share = np.where(step > 1e-12, (value - quantiles[rows, upper - 1]) / np.maximum(step, 1e-12), 1.0)
    inside = GRID[upper - 1] + np.minimum(np.maximum(share, 0), 1) * (GRID[upper] - GRID[upper - 1])
    beyond = GRID[-1] + (value - quantiles[:, -1]) / slope_beyond(quantiles)
    result: Array = np.where(place == 0, GRID[0] - 1.0, np.where(value > quantiles[:, -1], beyond, inside))
    return result


def truncate(quantiles: Array, bound: Array) -> Array:
    """The distributions given that the need is at most the bound: quantiles (n, len(LEVELS)), bound (n,), NaN for none.

    F(y | y <= b) = F(y) / F(b): the level l of the truncated row is the level l F(b) of the row.
    """
    result = quantiles.copy()
    rows = np.flatnonzero(bound < quantiles[:, -1])
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


def mixture(members: Array, weights: Array) -> Array:
    """Quantiles of the members' distributions mixed by weight: members (m, n, levels), weights (m, n).

    Returns (n, levels).

    Probabilities are averaged, not quantiles: a job that needs either 2 GB or 200 GB stays one that never needs 80.
    """
    count, rows, _ = members.shape
    size = count * len(ATOM_WEIGHTS)
    atoms = at_logit(members.transpose(1, 0, 2).reshape(rows * count, -1), ATOM_LOGITS).reshape(rows, size)
    mass = (weights.T[:, :, None] * ATOM_WEIGHTS).reshape(rows, size)
    order = np.argsort(atoms, axis=1, kind="stable") + size * np.arange(rows)[:, None]
    atoms, mass = atoms.take(order), mass.take(order)
    reached = mass.cumsum(axis=1) - mass / 2
    result = np.empty((rows, len(LEVELS)))
    for row in range(rows):
        result[row] = np.interp(LEVELS, reached[row], atoms[row])
    return result
