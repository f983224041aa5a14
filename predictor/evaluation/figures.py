"""Every figure of a backtest, as plain numbers: what `report.json` holds and `report.html` shows."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from crowdrun.predictor.baselines.rules import REQUEST, RULES, mean_of_last_two, rule_allocations
from crowdrun.predictor.classes import Classes, class_of_value
from crowdrun.predictor.evaluation.allocations import abstains, allocation_mb
from crowdrun.predictor.evaluation.bootstrap import Resamples
from crowdrun.predictor.evaluation.metrics import (
    Attempts,
    Judged,
    accuracy_by_segment,
    beats,
    coverage,
    late,
    mean_pinball,
    users,
)
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.learning_log import LearningLog, worth_learning
from crowdrun.predictor.quantiles import LEVELS, Array, at_logit, logit
from crowdrun.predictor.replay import Replayed
from crowdrun.predictor.target import TARGETS, TARGETS_BY_NAME, Target
from crowdrun.predictor.target_model import FEWEST_JOBS

Figures = dict[str, Any]

SAFE, LEAN = "crowd safe", "crowd lean"
#: Levels of the curve of wastage against failures.
CURVE_LEVELS: Array = np.array(
    [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.975, 0.98, 0.985, 0.99, 0.994, 0.998]
)
#: Users shown among the largest wasters.
WASTERS = 10
_MEDIAN = LEVELS.tolist().index(0.5)


def compute(log: LearningLog, replayed: Mapping[str, Replayed], *, risk: float, seconds: float) -> Figures:
    """All figures; a target that is not in `replayed` is left out with the reason."""
    figures: Figures = {
        "rows": len(log),
        "users": len(set(users(log))),
        "first_submit_time": float(log.submit_time[0]),
        "last_submit_time": float(log.submit_time[-1]),
        "risk": risk,
        "seconds": seconds,
        "learners": list(LEARNERS),
        "targets": {target.name: _target(log, target, replayed.get(target.name)) for target in TARGETS},
    }
    if "mem_mb" in replayed:
        figures["memory"] = _memory(log, replayed["mem_mb"], risk)
    if "run_time_s" in replayed:
        figures["run_time"] = _run_time(log, replayed["run_time_s"])
    return figures


def _target(log: LearningLog, target: Target, replayed: Replayed | None) -> Figures:
    """What the log tells of the target, what was said of it, and whether the promises were kept."""
    measured = log.measured(target)
    known = ~np.isnan(log.values_log2(target))
    figures: Figures = {
        "doc": target.doc,
        "measured": int(measured.sum()),
        "censored": int((known & ~measured).sum()),
        "unknown": int((~known).sum()),
        "left_out": None if replayed else worth_learning(log, target, FEWEST_JOBS) or "it was not replayed",
    }
    if replayed is None:
        return figures
    figures["abstained"] = int(abstains(replayed).sum())
    rows = np.flatnonzero(measured & late(log) & replayed.predicted)
    value, resamples = replayed.value_log2[rows], Resamples.over_users(users(log)[rows])
    distributions = {"raw": replayed.combined[rows], "calibrated": replayed.calibrated[rows]}
    if target.whole:
        # As they are told: 1.9 GPUs are 2.
        distributions = {name: _whole(target, one) for name, one in distributions.items()}
    figures["scored"] = len(rows)
    figures["coverage"] = {"levels": LEVELS.tolist()} | {
        name: [asdict(share) for share in coverage(quantiles, value, LEVELS, resamples)]
        for name, quantiles in distributions.items()
    }
    figures["pinball"] = {f"crowd, {name}": mean_pinball(quantiles, value) for name, quantiles in distributions.items()}
    figures["pinball"] |= {
        name: mean_pinball(replayed.members[member, rows], value) for member, name in enumerate(LEARNERS)
    }
    return figures


def _whole(target: Target, quantiles: Array) -> Array:
    return target.to_log2(np.round(target.from_log2(quantiles)))


def _memory(log: LearningLog, replayed: Replayed, risk: float) -> Figures:
    judged = Judged.of(log)
    allocations = _allocations(log, replayed, risk)
    tried = {name: judged.attempts(allocation) for name, allocation in allocations.items()}
    wastage = {name: judged.wastage(one, tried[REQUEST]) for name, one in tried.items()}
    rules = [wastage[name] for name in (REQUEST, *RULES)]
    return {
        "scored": len(judged.rows),
        "cap_mb": judged.cap_mb,
        "resampled": judged.resamples.unit,
        "blocks": judged.resamples.blocks,
        "allocations": {name: asdict(one) for name, one in wastage.items()},
        "beats_every_rule": {name: beats(wastage[name], rules) for name in (SAFE, LEAN)},
        "curves": _curves(log, replayed, judged),
        "accuracy": _accuracy(log, replayed),
        **_by_user(log, judged, tried[REQUEST], tried[SAFE]),
    }


def _allocations(log: LearningLog, replayed: Replayed, risk: float) -> dict[str, Array]:
    """Name -> (n,) MB: the crowd's two, the request, the rules, and each learner at its own quantile of 1 - risk."""
    own_level = logit(np.array([1 - risk]))
    return {
        SAFE: allocation_mb(log, replayed, replayed.safe_log2),
        LEAN: allocation_mb(log, replayed, replayed.lean_log2),
        **rule_allocations(log),
        **{
            name: allocation_mb(log, replayed, at_logit(replayed.members[member], own_level))
            for member, name in enumerate(LEARNERS)
        },
    }


def _curves(log: LearningLog, replayed: Replayed, judged: Judged) -> Figures:
    """Crowd (calibrated) and each learner (as it is) -> one point a level."""
    distributions = {"crowd": replayed.calibrated} | dict(zip(LEARNERS, replayed.members, strict=True))
    return {
        name: [_point(log, replayed, judged, one, level) for level in CURVE_LEVELS]
        for name, one in distributions.items()
    }


def _point(log: LearningLog, replayed: Replayed, judged: Judged, quantiles: Array, level: float) -> Figures:
    tried = judged.attempts(allocation_mb(log, replayed, at_logit(quantiles, logit(np.array([level])))))
    return {
        "level": float(level),
        "waste_gbh": float(tried.waste_gbh.sum()),
        "first_attempt_failures": _mean(tried.failed),
        "held_log2": _mean(tried.held_log2),
    }


def _accuracy(log: LearningLog, replayed: Replayed) -> Figures:
    """Accuracy of the classes over consecutive segments, of every one who named one, on the same measured jobs."""
    rows = np.flatnonzero(log.measured(replayed.target) & late(log) & replayed.predicted)
    said: dict[str, Classes] = {
        "mode": replayed.class_mode, "poll": replayed.class_poll, "crowd": replayed.class_crowd,
        **dict(zip(LEARNERS, replayed.class_members, strict=True)),
    }  # fmt: skip
    truth = class_of_value(replayed.value_log2[rows])
    resamples = Resamples.over_users(users(log)[rows])
    return {
        "scored": len(rows),
        "segments": {name: accuracy_by_segment(one[rows], truth) for name, one in said.items()},
        "overall": {
            name: asdict(resamples.mean((one[rows] == truth).astype(np.float64))) for name, one in said.items()
        },
    }


def _by_user(log: LearningLog, judged: Judged, request: Attempts, safe: Attempts) -> Figures:
    """The users whose own requests waste most, the largest first, and those whom safe would have cost more."""
    names, user = np.unique(users(log)[judged.rows].astype(str), return_inverse=True)
    jobs, wasted, wasted_safe = (
        np.bincount(user, weights=weights, minlength=len(names))
        for weights in (np.ones(len(user)), request.waste_gbh, safe.waste_gbh)
    )
    more = np.maximum(wasted_safe - wasted, 0)
    return {
        "wasters": [
            {
                "user": str(names[place]),
                "jobs": int(jobs[place]),
                "waste_gbh_request": float(wasted[place]),
                "waste_gbh_safe": float(wasted_safe[place]),
            }
            for place in np.argsort(-wasted)[:WASTERS]
        ],
        "worse_off": {"users": int((more > 0).sum()), "of": len(names), "waste_gbh": float(more.sum())},
    }


def _run_time(log: LearningLog, replayed: Replayed) -> Figures:
    """The crowd against the time limit and the mean of the user's last two, on jobs that have both."""
    target = TARGETS_BY_NAME["run_time_s"]
    measured = log.measured(target)
    seconds = np.where(measured, target.from_log2(replayed.value_log2), np.nan)
    request, recent = replayed.bound_log2, target.to_log2(mean_of_last_two(log, seconds))
    common = measured & late(log) & replayed.predicted & ~np.isnan(recent)
    # A log without time limits still tells how the crowd compares with the last two.
    asked = bool((common & ~np.isnan(request)).any())
    rows = np.flatnonzero(common & ~np.isnan(request) if asked else common)
    value, crowd = replayed.value_log2[rows], replayed.calibrated[rows]
    said = {"crowd": crowd, "mean of the user's last two": recent[rows, None]}
    if asked:
        said["the user's request"] = request[rows, None]
    return {
        "scored": len(rows),
        "predictors": {
            name: {"pinball": mean_pinball(one, value), "median_abs_log2": _median_error(one, value)}
            for name, one in said.items()
        },
    }


def _median_error(quantiles: Array, value_log2: Array) -> float:
    """Median |log2(said / measured)| of the middle of each distribution, or of the point."""
    middle = quantiles[:, _MEDIAN] if quantiles.shape[1] > 1 else quantiles[:, 0]
    return float(np.median(np.abs(middle - value_log2))) if len(value_log2) else float("nan")


def _mean(value: Array) -> float:
    return float(value.mean()) if len(value) else float("nan")
