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
>>> memory = TargetRows.of_targets([TARGETS_BY_NAME["mem_mb"]], jobs=1)
>>> (points,) = risk_curves(memory, quantiles, quantiles, np.array([np.nan]))
>>> points[0], [(round(mb), round(risk, 3)) for mb, risk in points if 0.04 < risk < 0.06]
((0.0, 1.0), [(1448, 0.05)])
"""

from collections.abc import Iterable
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.quantiles import GRID, Array, Places, expit, logit, logit_of
from crowdrun.predictor.target_rows import TargetRows

Point = tuple[float, float]
#: A curve of points (value, risk).
Curve = tuple[Point, ...]

#: The curve ends where the risk has fallen to this: no log of a few thousand jobs tells smaller ones apart.
SMALLEST_RISK = 1e-4
#: The logits of the points: those of the quantiles, one between each two, and three above.
LOGITS: Array = np.sort(
    np.concatenate(
        [GRID, (GRID[1:] + GRID[:-1]) / 2, np.linspace(GRID[-1], -float(logit(np.array(SMALLEST_RISK))), 4)[1:]]
    )
)
_PLACES = Places.of(LOGITS)
#: Of each distribution alone, where both are told.
_HALF_OF_PLACES = Places.of(LOGITS[::2])
_RISKS: list[float] = (1 - expit(LOGITS)).tolist()


def risk_curves(target: TargetRows, given: Array, free: Array, bound_log2: Array) -> list[Curve]:
    """One curve a row. given, free: (n, len(LEVELS)) log2, calibrated; bound_log2: (n,), NaN for none."""
    places = _PLACES.of_rows(free)
    agree = np.isnan(bound_log2) | (given == free).all(axis=1)
    alone = ~(target.whole | ~agree)
    curves: dict[int, Curve] = {}
    if alone.any():
        rows = np.flatnonzero(alone)
        values = target.of(rows).from_log2(places[rows])
        curves |= zip(rows.tolist(), map(_plain, values.tolist(), _inside_steps(values)), strict=True)
    if not alone.all():
        rows = np.flatnonzero(~alone)
        survival = _Survival(given[rows], free[rows], agree[rows])
        curves |= zip(rows.tolist(), _followed(target.of(rows), survival, places[rows], bound_log2[rows]), strict=True)
    return [curves[row] for row in range(len(free))]


def _plain(values: list[float], inside: list[int] | None) -> Curve:
    """The points of the free distribution alone; every job needs more than nothing."""
    points = zip(values, _RISKS, strict=True)
    return ((0.0, 1.0), *(points if inside is None else [p for place, p in enumerate(points) if place not in inside]))


def _inside_steps(values: Array) -> list[list[int] | None]:
    """Of each row the places that lie inside a step: between two of the same value."""
    same = values[:, 1:] == values[:, :-1]
    inside = same[:, 1:] & same[:, :-1]
    if not inside.any():
        return [None] * len(values)
    return [(np.flatnonzero(row) + 1).tolist() or None for row in inside]


class _Survival:
    """P(need > x) of n jobs; `agree` (n,) where the request bounds nothing, or there is none."""

    def __init__(self, given: Array, free: Array, agree: NDArray[np.bool_]) -> None:
        self.given, self.free, self.agree = given, free, agree

    def __call__(self, value_log2: Array, edge_log2: Array) -> Array:
        """value_log2: (n, k), non-decreasing along each row; edge_log2: (n,) the request. Returns (n, k)."""
        edge = edge_log2[:, None]
        # The request comes last: its own risk says how the rest spreads above it.
        asked = np.hstack([value_log2, np.where(np.isnan(edge), value_log2[:, -1:], edge)])
        logits = _logits(np.concatenate([self.free, self.given]), np.concatenate([asked, asked]))
        alone = logits[: len(asked)]
        free, pooled = expit(alone), expit((alone + logits[len(asked) :]) / 2)
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


def _followed(target: TargetRows, survival: _Survival, free: Array, bound_log2: Array) -> list[Curve]:
    """The curves for which the survival is asked: of counts, and where the request could be too small.

    free: (n, len(LOGITS)) the free distribution at LOGITS, log2.
    """
    # Where either distribution has points, and at the request.
    places = np.concatenate([_HALF_OF_PLACES.of_rows(survival.given), free[:, ::2], bound_log2[:, None]], axis=1)
    places.sort(axis=1)
    edges, counts = bound_log2, target.any_whole
    if counts:
        numbers = _numbers(target.from_log2(free), places.shape[1])
        # A count is exceeded when the need rounds to more.
        places = np.where(target.whole[:, None], target.to_log2(numbers + 0.5), places)
        edges = np.where(target.whole, target.to_log2(np.rint(target.from_log2(bound_log2)) + 0.5), bound_log2)
    risks, values = survival(places, edges), target.from_log2(places)
    if counts:
        values = np.where(target.whole[:, None], numbers, values)
    new = np.ones(places.shape, dtype=np.bool_)
    np.greater(places[:, 1:], places[:, :-1], out=new[:, 1:])
    # Places that differ, and values that do not: a step may be among them.
    steps = ((values[:, 1:] == values[:, :-1]) & new[:, 1:]).any(axis=1) & ~target.whole
    told = zip(values.tolist(), risks.tolist(), new.tolist(), target.whole.tolist(), steps.tolist(), strict=True)
    return [_points(zip(one, risk, strict=True), kept, whole, step) for one, risk, kept, whole, step in told]


def _numbers(values: Array, width: int) -> Array:
    """(n, width) whole numbers from 0 up to where the risk is next to nothing, the last one repeated."""
    result = np.zeros((len(values), width))
    result[:, 1:] = np.maximum(np.rint(values), 0.0)[:, np.minimum(np.arange(width - 1), values.shape[1] - 1)]
    return result


def _points(points: Iterable[Point], kept: list[bool], whole: bool, steps: bool) -> Curve:
    """Those that are kept; every job needs more than nothing, but not more of what is counted."""
    chosen = list(compress(points, kept))
    if steps:
        chosen = _outside_steps(chosen)
    return tuple(chosen) if whole else ((0.0, 1.0), *chosen)


def _outside_steps(points: list[Point]) -> list[Point]:
    """The points without those that lie inside a step."""
    last = len(points) - 1
    return [
        point
        for place, point in enumerate(points)
        if not (0 < place < last and points[place - 1][0] == point[0] == points[place + 1][0])
    ]
