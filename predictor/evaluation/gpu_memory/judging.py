"""How far off a forecast is of families of models that it has not learned from: every family is judged once.

The families are dealt to ten folds; each fold is judged by what was learned from the other nine, whose own weights and
margins come from leaving out families once more, among themselves (`learned/learning.py`). Nothing is tuned on what is
judged.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.evaluation.gpu_memory.rules import RULES
from crowdrun.predictor.gpu_memory.learned.features import Array, table
from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep, folds, learn
from crowdrun.predictor.gpu_memory.learned.line import Line

FOLDS = 10
Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one way to say it, over all judged steps."""

    #: Median and 90th percentile of |said / measured - 1|.
    median_error: float
    p90_error: float
    #: Share of steps that held more than they were given.
    under: float
    #: Median of given / measured - 1.
    median_margin: float


def judge(steps: Sequence[MeasuredStep], risk: float, progress: Progress) -> dict[str, Any]:
    """The figures of the learned forecast, and of each rule on the same steps.

    A rule gives what it says; `with_margin` is what it gives where the factor that held the risk on the other folds is
    put on top, so that rules and forecasts can be compared at one risk.
    """
    measured = np.array([step.measured_mb for step in steps])
    fold = folds(np.array([step.family for step in steps]), FOLDS)
    said, given = _judged(steps, fold, risk, progress)
    columns = table([step.features for step in steps])
    rules = {name: _of_rule(rule(columns), measured, fold, risk) for name, rule in RULES.items()}
    rules["forecast_affine"] = _of_rule(_affine(columns["reserved"], measured, fold), measured, fold, risk)
    return _told(said, given, measured) | {"rules": rules}


def figures(said: Array, given: Array, measured: Array) -> Figures:
    """Of (n,) MB that were said and given, and that were measured.

    >>> figures(np.array([90.0, 102.0]), np.array([99.0, 112.0]), np.array([100.0, 100.0]))
    Figures(median_error=0.06, p90_error=0.092, under=0.5, median_margin=0.055)
    """
    error = np.abs(said / measured - 1)
    return Figures(
        median_error=_rounded(np.median(error)), p90_error=_rounded(np.quantile(error, 0.9)),
        under=_rounded(np.mean(given < measured)), median_margin=_rounded(np.median(given / measured - 1)),
    )  # fmt: skip


def of_known_families(steps: Sequence[MeasuredStep], models: Sequence[str], risk: float, progress: Progress) -> Figures:
    """The same where other models of the judged one's family were measured: models are left out, not families."""
    said, given = _judged(steps, folds(np.array(models), FOLDS), risk, progress)
    return figures(said, given, np.array([step.measured_mb for step in steps]))


def _judged(
    steps: Sequence[MeasuredStep], fold: NDArray[np.intp], risk: float, progress: Progress
) -> tuple[Array, Array]:
    said, given = np.zeros(len(steps)), np.zeros(len(steps))
    for done, one in enumerate(np.unique(fold)):
        progress(f"fold {done + 1} of {FOLDS}", done / FOLDS)
        out = np.flatnonzero(fold == one).tolist()
        learned = learn([step for step, place in zip(steps, fold, strict=True) if place != one], "the bench")
        rows = [steps[place].features for place in out]
        said[out] = learned.mb(rows)
        given[out] = said[out] * learned.margins(rows, risk)
    return said, given


def _of_rule(said: Array, measured: Array, fold: NDArray[np.intp], risk: float) -> dict[str, Any]:
    given = np.zeros(len(said))
    for one in np.unique(fold):
        out = fold == one
        given[out] = said[out] * np.quantile(measured[~out] / said[~out], 1 - risk)
    with_margin = figures(said, given, measured)
    return _told(said, said, measured) | {
        "with_margin": {"under": with_margin.under, "median_margin": with_margin.median_margin}
    }


def _told(said: Array, given: Array, measured: Array) -> dict[str, Any]:
    """The figures, and the errors' percentiles, 1 to 99, for a curve."""
    percentiles = np.quantile(np.abs(said / measured - 1), np.arange(1, 100) / 100)
    return asdict(figures(said, given, measured)) | {"error_quantiles": [_rounded(one) for one in percentiles]}


def _affine(reserved: Array, measured: Array, fold: NDArray[np.intp]) -> Array:
    said = np.zeros(len(reserved))
    for one in np.unique(fold):
        out = fold == one
        said[out] = Line.fit({"reserved": reserved[~out]}, measured[~out]).mb({"reserved": reserved[out]})
    return said


def _rounded(value: Any) -> float:
    return round(float(value), 4)
