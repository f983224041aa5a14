"""Quantiles of a class of few errors, leaning on those of a wider class."""

import numpy as np

from crowdrun.predictor.quantiles import LEVELS, Array

#: Errors of the wider class that a class starts from, so that a class with few errors is not overconfident.
BORROWED = 20.0


def blend(errors: Array, wider: Array, borrowed: float = BORROWED) -> Array:
    """Quantiles of the errors (k,) at LEVELS, mixed with the wider class's (len(LEVELS),) by how many there are.

    borrowed: how many errors the wider class counts for.

    >>> wider = np.zeros(len(LEVELS))
    >>> blend(np.full(20, 4.0), wider)[0].item(), blend(np.array([]), wider)[0].item()
    (2.0, 0.0)
    """
    if not len(errors):
        return wider
    share = len(errors) / (len(errors) + borrowed)
    result: Array = share * np.quantile(errors, LEVELS) + (1 - share) * wider
    return result
