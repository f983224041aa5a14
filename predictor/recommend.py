"""What is said of one job for one target: figures, evidence, and sentences that are true to them."""

import numpy as np

from crowdrun.data.job import Evidence, JobRequest, TargetPrediction
from crowdrun.predictor.history import RELATIONS, History, Key
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.sizing import ladder_log2, risk_at
from crowdrun.predictor.target import Target

#: Relations from here on are no evidence: jobs that share a partition, or nothing, say nothing of this one.
FIRST_UNRELATED = RELATIONS.index("same partition")


def evidence_of(target: Target, history: History, keys: tuple[Key | None, ...]) -> Evidence | None:
    """The closest ended jobs that say something of this one; None when there are none."""
    closest = history.closest(keys)
    if closest is None or closest[0] >= FIRST_UNRELATED:
        return None
    relation, trail = closest
    ordered = target.from_log2(np.array(trail.ordered))
    return Evidence(
        shared=RELATIONS[relation],
        jobs=len(ordered),
        lowest=float(ordered[0]),
        median=float(np.median(ordered)),
        highest=float(ordered[-1]),
        newest_time=trail.newest_time,
    )


def prediction_of(
    target: Target, calibrated: Array, safe: float, lean: float, members: dict[str, tuple[float, float]],
    evidence: Evidence | None,
) -> TargetPrediction:  # fmt: skip
    """The record of a target; calibrated (levels,), safe and lean in log2."""
    figures = target.from_log2(calibrated)
    # A job does not die for want of a GPU and come back: a count has no ladder.
    rungs = () if target.whole else ladder_log2(calibrated, safe)
    ladder = target.from_log2(np.array(rungs))
    return TargetPrediction(
        target=target.name,
        quantiles={float(level): _figure(target, value) for level, value in zip(LEVELS, figures, strict=True)},
        safe=_figure(target, float(target.from_log2(np.array(safe))), up=True),
        safe_risk=_risk(target, calibrated, safe),
        lean=_figure(target, float(target.from_log2(np.array(lean))), up=True),
        ladder=tuple(_figure(target, value, up=True) for value in ladder),
        members=members,
        evidence=evidence,
    )


def _risk(target: Target, calibrated: Array, safe: float) -> float:
    if target.whole:
        # A whole number is exceeded when the need rounds to more.
        safe = float(target.to_log2(np.array(round(float(target.from_log2(np.array(safe)))) + 0.5)))
    return float(risk_at(calibrated[None], np.array([safe]))[0])


def _figure(target: Target, value: float, *, up: bool = False) -> float:
    """A whole number where the target is one, and what is asked for never below what can be asked for."""
    value = max(float(value), target.smallest)
    if target.whole:
        return float(round(value))
    return float(np.ceil(value)) if up else value


def size(target: Target, value: float) -> str:
    """A figure as people write it.

    >>> from crowdrun.predictor.target import TARGETS_BY_NAME
    >>> size(TARGETS_BY_NAME["mem_mb"], 4710.0), size(TARGETS_BY_NAME["run_time_s"], 5400.0)
    ('4.6 GB', '1 h 30 min')
    """
    if target.name in {"mem_mb", "gpu_mem_mb"}:
        return f"{value:.0f} MB" if value < 1024 else f"{value / 1024:.3g} GB"
    if target.name == "run_time_s":
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f"{value:.0f}"


_VERBS = {
    "mem_mb": ("host memory", "used"), "run_time_s": ("run time", "ran for"), "gpus": ("GPUs", "held"),
    "gpu_mem_mb": ("GPU memory", "used"),
}  # fmt: skip


def sentences(target: Target, request: JobRequest, prediction: TargetPrediction) -> list[str]:
    """Why, in words; every number stands in the prediction."""
    noun, used = _VERBS[target.name]
    said = []
    evidence = prediction.evidence
    if evidence:
        jobs = "1 ended job" if evidence.jobs == 1 else f"{evidence.jobs} ended jobs"
        span = size(target, evidence.lowest)
        if size(target, evidence.highest) != span:
            span = f"{span} to {size(target, evidence.highest)} (median {size(target, evidence.median)})"
        said.append(f"{noun}: {jobs} with the {evidence.shared} {used} {span}.")
    if not target.whole:
        said.append(
            f"{noun}: {size(target, prediction.safe)} is enough with a risk of about {prediction.safe_risk:.1%}; "
            f"{size(target, prediction.lean)} wastes least."
        )
    asked = getattr(request, target.request_column) if target.request_column else None
    if asked and target.name == "mem_mb" and prediction.safe < asked:
        median = prediction.quantiles[0.5]
        said.append(
            f"{noun}: the request of {size(target, asked)} is {asked / median:.1f} times the median need of "
            f"{size(target, median)}."
        )
    return said
