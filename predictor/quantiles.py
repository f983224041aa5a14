"""The predictive distributions of the crowd: quantiles of log2 of a target on one grid of levels.

>>> Z = np.log2([[100.0, 100, 100, 100, 110, 120, 140, 160, 200, 250, 300, 400, 600]])
>>> float(np.round(2 ** at_level(Z, np.array([0.5]))[0]))
140.0
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Probabilities at which every learner predicts; denser above, where requests are made.
LEVELS: Array = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.975, 0.99, 0.998])


def at_level(quantiles: Array, level: Array) -> Array:
    """The quantile of each row at its own level, linear in the logit of the level, flat beyond the grid.

    quantiles: (n, len(LEVELS)), non-decreasing along the row; level: (n,) in (0, 1). Returns (n,).
    """
    grid = np.log(LEVELS / (1 - LEVELS))
    wanted = np.clip(np.log(level / (1 - level)), grid[0], grid[-1])
    upper = np.clip(np.searchsorted(grid, wanted), 1, len(grid) - 1)
    share = (wanted - grid[upper - 1]) / (grid[upper] - grid[upper - 1])
    rows = np.arange(len(quantiles))
    result: Array = quantiles[rows, upper - 1] * (1 - share) + quantiles[rows, upper] * share
    return result
