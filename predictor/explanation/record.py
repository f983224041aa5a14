"""The record of what is said of one job for one target."""

import numpy as np

from crowdrun.data.job import Evidence, TargetPrediction
from crowdrun.predictor.explanation.risk_curve import Curve
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.sizing import ladder_log2
from crowdrun.predictor.target import Target


def prediction_of(
    target: Target, calibrated: Array, safe: float, lean: float, members: dict[str, tuple[float, float]],
    risk_curve: Curve, evidence: Evidence | None, asked: float | None,
) -> TargetPrediction:  # fmt: skip
    """calibrated (levels,), safe and lean in log2; asked in the unit of the target."""
    figures = target.from_log2(calibrated)
    # A job does not die for want of a GPU, or of a wait, and come back: these have no ladder.
    rungs = () if target.whole or target.is_wait else ladder_log2(calibrated, safe)
    ladder = target.from_log2(np.array(rungs))
    return TargetPrediction(
        target=target.name,
        quantiles={float(level): _figure(target, value) for level, value in zip(LEVELS, figures, strict=True)},
        safe=_figure(target, float(target.from_log2(np.array(safe))), up=True),
        lean=_figure(target, float(target.from_log2(np.array(lean))), up=True),
        ladder=tuple(_figure(target, value, up=True) for value in ladder),
        members=members,
        risk_curve=risk_curve,
        evidence=evidence,
        asked=asked,
    )


def _figure(target: Target, value: float, *, up: bool = False) -> float:
    """A whole number where the target is one, and what is asked for never below what can be asked for."""
    value = max(float(value), target.smallest)
    if target.whole:
        return float(round(value))
    return float(np.ceil(value - _ROUNDING)) if up else value


#: Values went through log2 and back: 880 MB must not become 881.
_ROUNDING = 1e-6
