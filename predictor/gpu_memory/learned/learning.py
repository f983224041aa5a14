"""Learns a correction from measured steps.

Families of models are left out in turns; what is said of them while they are out decides how much each member of the
crowd counts, and how much is given on top. So a weight and a margin are those for a family that nobody has measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import NotEnoughDataError
from crowdrun.predictor.gpu_memory.device import DeviceOverhead
from crowdrun.predictor.gpu_memory.learned.correction import MEMBERS, Correction, combined
from crowdrun.predictor.gpu_memory.learned.features import Array, shares, table
from crowdrun.predictor.gpu_memory.learned.line import Line
from crowdrun.predictor.gpu_memory.learned.member import Member
from crowdrun.predictor.gpu_memory.learned.reserved_line import reserved_line
from crowdrun.predictor.gpu_memory.learned.spread import Spread

FOLDS = 5
#: Families and steps below which nothing is learned.
FEWEST_FAMILIES, FEWEST_STEPS = 5, 40
#: What share of a member's correction may be taken.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: A better error by less than this is no reason to take more of a member.
_WORTH = 1e-4
#: Errors beyond this count alike when shares are chosen: a crash is a crash.
_LARGEST_ERROR = 0.3


@dataclass(frozen=True, kw_only=True)
class MeasuredStep:
    """The features of a step, and what the whole card held in truth."""

    features: Mapping[str, float]
    measured_mb: float
    #: What is left out together: models of one kind.
    family: str


def learn(steps: Sequence[MeasuredStep], basis: str) -> Correction:
    """The correction, with its margins.

    Args:
        steps: measured ones, of several families.
        basis: where the measurements are from, for the reader of a forecast.

    Raises:
        NotEnoughDataError: too few steps or families.
    """
    families = np.array([step.family for step in steps])
    count = len(np.unique(families))
    if count < FEWEST_FAMILIES or len(steps) < FEWEST_STEPS:
        raise NotEnoughDataError(
            f"{len(steps)} measured steps of {count} families are too few to learn from; "
            f"at least {FEWEST_STEPS} of {FEWEST_FAMILIES} are needed"
        )
    columns = table([step.features for step in steps])
    measured = np.array([step.measured_mb for step in steps], dtype=np.float64)
    fold = folds(families, FOLDS)
    line_errors, corrections = _left_out(columns, measured, fold)
    weights = _weights(line_errors, corrections)
    errors = line_errors - combined(corrections, weights, len(steps))
    line, members = _fitted(columns, measured)
    kept = [(one, weight) for one, weight in zip(members, weights, strict=True) if weight]
    return Correction(
        line=line, reserved_line=Line.fit({"reserved": columns["reserved"]}, measured),
        members=tuple(one for one, _ in kept), weights=tuple(weight for _, weight in kept),
        spread=Spread.fit(shares(columns), errors), scores=np.sort(errors / _sizes(shares(columns), errors, fold)),
        families=count, basis=f"{basis}; {len(steps)} measured steps of {count} families",
    )  # fmt: skip


def learn_what_can_be(steps: Sequence[MeasuredStep], basis: str) -> Correction | DeviceOverhead:
    """The correction; from fewer steps or families the line of what is reserved alone.

    Raises:
        NotEnoughDataError: too few for that too.
    """
    try:
        return learn(steps, basis)
    except NotEnoughDataError:
        points = [(step.features["reserved"], step.measured_mb) for step in steps]
        return reserved_line(points, f"{basis}; {len(points)} measured steps")


def folds(families: NDArray[np.str_], count: int, seed: int = 0) -> NDArray[np.intp]:
    """(n,) the fold of each row: no family is in two, and the folds are about equally large.

    >>> folds(np.array(["a", "a", "a", "b", "c", "c"]), 2).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    names, number, sizes = np.unique(families, return_inverse=True, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    filled = np.zeros(min(count, len(names)), dtype=np.intp)
    fold_of = np.zeros(len(names), dtype=np.intp)
    for name in sorted(shuffled, key=lambda one: -sizes[one]):
        fold_of[name] = filled.argmin()
        filled[fold_of[name]] += sizes[name]
    found: NDArray[np.intp] = fold_of[number]
    return found


def _fitted(columns: Mapping[str, Array], measured: Array) -> tuple[Line, list[Member]]:
    line = Line.fit(columns, measured)
    log_ratio = np.log(measured / line.mb(columns))
    return line, [member.fit(shares(columns), log_ratio) for member in MEMBERS.values()]


def _left_out(columns: Mapping[str, Array], measured: Array, fold: NDArray[np.intp]) -> tuple[Array, list[Array]]:
    """(n,) log of measured / the line's, and what each member says of it, each of rows that were not learned from."""
    line_errors = np.zeros(len(measured))
    corrections = [np.zeros(len(measured)) for _ in MEMBERS]
    for one in np.unique(fold):
        out = fold == one
        line, members = _fitted({name: values[~out] for name, values in columns.items()}, measured[~out])
        judged = {name: values[out] for name, values in columns.items()}
        line_errors[out] = np.log(measured[out] / line.mb(judged))
        for said, member in zip(corrections, members, strict=True):
            said[out] = member.log_ratio(shares(judged))
    return line_errors, corrections


def _weights(line_errors: Array, corrections: Sequence[Array]) -> tuple[float, ...]:
    """The shares of the members with the least mean error; the smaller ones where that is as good."""
    best, least = (0.0,) * len(corrections), np.inf
    tries = sorted((one for one in product(_SHARES, repeat=len(corrections)) if sum(one) <= 1), key=sum)
    for weights in tries:
        error = np.minimum(
            np.abs(line_errors - combined(corrections, weights, len(line_errors))), _LARGEST_ERROR
        ).mean()
        if error < least - _WORTH:
            best, least = weights, error
    return best


def _sizes(made: Array, errors: Array, fold: NDArray[np.intp]) -> Array:
    """(n,) the expected size of each error, of rows that it was not learned from."""
    found = np.zeros(len(errors))
    for one in np.unique(fold):
        out = fold == one
        found[out] = Spread.fit(made[~out], errors[~out]).of(made[out])
    return found
