"""The risk of any request: P(the job needs more than x) for every x, not only for what is recommended.

Two distributions speak of it. The *given* one, of the quantiles, takes the request as a bound: it holds if the request
is enough. The *free* one does not look at the bound. Where the request is generous they are the same. Where it is not,
the free one says too often that a request is too small (users know something that the log does not), the given one
hardly ever. So up to the request their log-odds are averaged (the logarithmic opinion pool: Genest and Zidek,
"Combining Probability Distributions", Statistical Science 1, 1986), and above it the free one tells how the rest
spreads. Figures are in docs/log.md.

>>> from crowdrun.predictor.quantiles import LEVELS
>>> from crowdrun.predictor.target import TARGETS_BY_NAME
>>> quantiles = np.linspace(9, 11, len(LEVELS))[None]
>>> (points,) = risk_curves(TARGETS_BY_NAME["mem_mb"], quantiles, quantiles, np.array([np.nan]))
>>> points[0], [(round(mb), round(risk, 3)) for mb, risk in points if 0.04 < risk < 0.06]
((0.0, 1.0), [(1448, 0.05)])
"""

from itertools import compress

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.quantiles import GRID, Array, at_logit, expit, logit, logit_of
from crowdrun.predictor.target import Target

#: A curve of points (value, risk).
Curve = tuple[tuple[float, float], ...]

#: The curve ends where the risk has fallen to this: no log of a few thousand jobs tells smaller ones apart.
SMALLEST_RISK = 1e-4
#: The logits of the points: those of the quantiles, one between each two, and three above.
LOGITS: Array = np.sort(
    np.concatenate(
        [GRID, (GRID[1:] + GRID[:-1]) / 2, np.linspace(GRID[-1], -float(logit(np.array(SMALLEST_RISK))), 4)[1:]]
    )
)
_RISKS: list[float] = (1 - expit(LOGITS)).tolist()


def risk_curves(target: Target, given: Array, free: Array, bound_log2: Array) -> list[Curve]:
    """One curve a job. given, free: (n, len(LEVELS)) log2, calibrated; bound_log2: (n,), NaN for none."""
    values = target.from_log2(at_logit(free, LOGITS)).tolist()
    edges = _edges(target, bound_log2)
    agree = np.isnan(bound_log2) | (given == free).all(axis=1)
    if target.whole:
        return [
            _whole(target, _Survival(given[[row]], free[[row]], edges[[row]], agree[[row]]), values[row])
            for row in range(len(free))
        ]
    curves = [_points(one, _RISKS) for one in values]
    bounded = np.flatnonzero(~agree)
    survival = _Survival(given[bounded], free[bounded], edges[bounded], agree[bounded])
    for row, curve in zip(bounded.tolist(), _between(target, survival), strict=True):
        curves[row] = curve
    return curves


class _Survival:
    """P(need > x) of n jobs; `agree` (n,) where the request bounds nothing, or there is none."""

    def __init__(self, given: Array, free: Array, edge_log2: Array, agree: NDArray[np.bool_]) -> None:
        self.given, self.free, self.edge_log2, self.agree = given, free, edge_log2, agree

    def __call__(self, value_log2: Array) -> Array:
        """value_log2: (n, k), non-decreasing along each row. Returns (n, k)."""
        edge = self.edge_log2[:, None]
        # The request comes last: its own risk says how the rest spreads above it.
        asked = np.hstack([value_log2, np.where(np.isnan(edge), value_log2[:, -1:], edge)])
        logits = _logits(self.free, asked)
        free, pooled = expit(logits), expit((logits + _logits(self.given, asked)) / 2)
        share = (1 - pooled[:, -1:]) / np.maximum(1 - free[:, -1:], SMALLEST_RISK)
        free, pooled = free[:, :-1], pooled[:, :-1]
        both = np.where(value_log2 <= edge, 1 - pooled, share * (1 - free))
        both = np.minimum.accumulate(np.minimum(np.maximum(both, 0), 1), axis=1)
        result: Array = np.where(self.agree[:, None], 1 - free, both)
        return result


def _logits(quantiles: Array, value_log2: Array) -> Array:
    """(n, k) for quantiles (n, len(LEVELS)) and values (n, k)."""
    width = value_log2.shape[1]
    return logit_of(np.repeat(quantiles, width, axis=0), value_log2.ravel()).reshape(value_log2.shape)


def _edges(target: Target, bound_log2: Array) -> Array:
    """The most that the request is enough for, log2: a whole number is exceeded when the need rounds to more."""
    return target.to_log2(np.round(target.from_log2(bound_log2)) + 0.5) if target.whole else bound_log2


def _between(target: Target, survival: _Survival) -> list[Curve]:
    """Points where either distribution has some, and at the request."""
    places = np.hstack(
        [*(at_logit(one, LOGITS[::2]) for one in (survival.given, survival.free)), survival.edge_log2[:, None]]
    )
    places.sort(axis=1)
    risks = survival(places).tolist()
    new = np.diff(places, axis=1, prepend=-np.inf) > 0
    values = target.from_log2(places).tolist()
    return [
        _points(list(compress(one, told)), list(compress(risk, told)))
        for one, risk, told in zip(values, risks, new.tolist(), strict=True)
    ]


def _whole(target: Target, survival: _Survival, values: list[float]) -> Curve:
    """Points at whole numbers, up to where the risk is next to nothing."""
    numbers = sorted({0.0, *(max(float(round(value)), 0.0) for value in values)})
    (risks,) = survival(target.to_log2(np.array([numbers]) + 0.5)).tolist()
    return tuple(zip(numbers, risks, strict=True))


def _points(values: list[float], risks: list[float]) -> Curve:
    """The points without those that lie inside a step, after the start: every job needs more than nothing."""
    last = len(values) - 1
    kept = [
        (value, risk)
        for place, (value, risk) in enumerate(zip(values, risks, strict=True))
        if not (0 < place < last and values[place - 1] == value == values[place + 1])
    ]
    return ((0.0, 1.0), *kept)
