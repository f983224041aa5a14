"""The records of what is said of jobs: figures of all rows worked out together, then put into one record a row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crowdrun.data.job import Evidence, TargetPrediction
from crowdrun.predictor.explanation.risk_curve import Curve
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.sizing import ladder_log2
from crowdrun.predictor.target import Target
from crowdrun.predictor.target_rows import TargetRows

_LEVELS: list[float] = LEVELS.tolist()


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What is said of one target of one job, but for the evidence; in the unit of the target."""

    quantiles: dict[float, float]
    safe: float
    lean: float
    ladder: tuple[float, ...]
    members: dict[str, tuple[float, float]]
    asked: float | None
    risk_curve: Curve

    def prediction(self, target: Target, evidence: Evidence) -> TargetPrediction:
        return TargetPrediction(
            target=target.name, quantiles=self.quantiles, safe=self.safe, lean=self.lean, ladder=self.ladder,
            members=self.members, risk_curve=self.risk_curve, evidence=evidence, asked=self.asked,
        )  # fmt: skip


def figures(
    target: TargetRows, names: Sequence[str], *, calibrated: Array, safe: Array, lean: Array, medians: Array,
    weights: Array, asked: Array, curves: Sequence[Curve],
) -> Iterator[Figures]:  # fmt: skip
    """One a row, from values in log2: calibrated (rows, levels), safe, lean and asked (rows,), medians (members, rows),
    weights (rows, members); asked is NaN for none.
    """
    # A job does not die for want of a GPU, or of a wait, and come back: these have no ladder.
    climbs = ~(target.whole | target.is_wait)
    given = np.column_stack([safe, lean, ladder_log2(calibrated, safe)])
    quantiles = _possible(target, calibrated)
    to_ask = _possible(target, given)
    to_ask = np.where(target.whole[:, None], to_ask, np.ceil(to_ask - _ROUNDING)).tolist()
    told = target.from_log2(medians.T).tolist()
    requests = target.from_log2(asked).tolist()
    rows = zip(quantiles.tolist(), to_ask, climbs.tolist(), told, weights.tolist(), requests, curves, strict=True)
    for levels, (first, least, *rungs), climb, median, weight, request, curve in rows:
        yield Figures(
            quantiles=dict(zip(_LEVELS, levels, strict=True)),
            safe=first,
            lean=least,
            ladder=tuple(rungs) if climb else (),
            members=dict(zip(names, zip(median, weight, strict=True), strict=True)),
            asked=None if request != request else request,
            risk_curve=curve,
        )


def _possible(target: TargetRows, value_log2: Array) -> Array:
    """In the unit of the target: a whole number where it is one, and never below what can be asked for."""
    value = np.maximum(target.from_log2(value_log2), target.smallest[:, None])
    return np.where(target.whole[:, None], np.rint(value), value)


#: Values went through log2 and back: 880 MB must not become 881.
_ROUNDING = 1e-6
