"""Host memory: every method on one log, judged on the same jobs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.classes import Classes, class_of_value
from crowdrun.predictor.evaluation.allocations import allocation_mb, request_mb
from crowdrun.predictor.evaluation.bench import retries
from crowdrun.predictor.evaluation.bench.frontier import frontier
from crowdrun.predictor.evaluation.bench.groups import coverage_of_groups
from crowdrun.predictor.evaluation.bench.lineup import Tell, lineup
from crowdrun.predictor.evaluation.bench.methods import Method
from crowdrun.predictor.evaluation.bench.site_classes import site_segments
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.bootstrap import Interval, Resamples
from crowdrun.predictor.evaluation.figures import CURVE_LEVELS
from crowdrun.predictor.evaluation.metrics import Judged, accuracy_by_segment, coverage, mean_pinball
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.learning_log import numbers
from crowdrun.predictor.quantiles import Array, at_logit, logit
from crowdrun.predictor.replay import Replayed

Figures = dict[str, Any]

COVERAGE_LEVELS: Array = np.array([0.9, 0.95, 0.99])


def judge_host_memory(
    trace: Trace, scored: NDArray[np.bool_], replayed: Replayed, *, refits: int, risk: float, seed: int, tell: Tell
) -> Figures:
    """The figures of every method on the jobs of `scored` (n,) whose peak is believed."""
    judged = judged_jobs(trace, scored)
    methods = lineup(trace, judged, replayed, refits=refits, risk=risk, seed=seed, tell=tell)
    figures = {method.name: figures_of(method, judged) for method in methods}
    told = judged.rows[replayed.predicted[judged.rows]]
    value = np.log2(numbers(trace.log.jobs, "peak_mem_mb")[told])
    return {
        "scored": len(judged.rows),
        "resampled": judged.resamples.unit,
        "blocks": judged.resamples.blocks,
        "methods": figures,
        "frontier": frontier(figures),
        "curve": _curve(trace, judged, replayed),
        "segments": _segments(replayed, told, class_of_value(value)),
        "site_classes": site_segments(trace, replayed, told, value),
        "groups": coverage_of_groups(trace, told, replayed.calibrated[told], value),
    }


def judged_jobs(trace: Trace, scored: NDArray[np.bool_]) -> Judged:
    """The jobs of `scored` (n,) whose peak is believed."""
    rows = np.flatnonzero(scored & trace.has_peak)
    peak = numbers(trace.log.jobs, "peak_mem_mb")
    run = numbers(trace.log.jobs, "end_time") - numbers(trace.log.jobs, "start_time")
    return Judged(
        rows=rows, peak_mb=peak[rows], hours=run[rows] / 3600, mb_per_gb=trace.mb_per_gb,
        # The whole log's: what a machine can give does not hang on the share that is judged.
        cap_mb=float(np.nanmax(np.concatenate([[0.0], peak, request_mb(trace.log)]))),
        resamples=Resamples.over_users(trace.blocks[rows], unit=trace.block_unit),
    )  # fmt: skip


def _curve(trace: Trace, judged: Judged, replayed: Replayed) -> list[dict[str, float]]:
    """The crowd's calibrated quantiles as allocations, one point a level."""
    retry, points = retries.usual(trace, judged), []
    for level in CURVE_LEVELS:
        said = at_logit(replayed.calibrated, logit(np.array([level])))
        tried = judged.attempts(allocation_mb(trace.log, replayed, said), retry)
        points.append(
            {
                "level": float(level), "waste_gbh": float(tried.waste_gbh.sum()),
                "first_attempt_failures": float(tried.failed.mean()),
            }
        )  # fmt: skip
    return points


def _segments(replayed: Replayed, rows: NDArray[np.intp], truth: Classes) -> dict[str, dict[str, list[float]]]:
    """Who names a class -> share of exact ones, and within one class, in five consecutive parts of the judged jobs."""
    said: dict[str, Classes] = {
        "mode": replayed.class_mode, "poll": replayed.class_poll, "crowd": replayed.class_crowd,
        **dict(zip(LEARNERS, replayed.class_members, strict=True)),
    }  # fmt: skip
    return {
        name: {
            "exact": accuracy_by_segment(one[rows], truth),
            # A class that is one off counts as the right one; one that was not said (-1) never does.
            "within_one": accuracy_by_segment(
                np.where((np.abs(one[rows] - truth) <= 1) & (one[rows] >= 0), truth, -1), truth
            ),
        }
        for name, one in said.items()
    }


def figures_of(method: Method, judged: Judged) -> Figures:
    """What `--json` holds of one method."""
    tried = judged.attempts(method.allocation_mb, method.retry)
    draw = judged.resamples
    figures: Figures = {"title": method.title, "kind": method.kind} | _with_intervals({
        "waste_gbh": draw.total(tried.waste_gbh),
        "fail": draw.mean(tried.failed),
        "retries": draw.mean(tried.retries),
        "maq": draw.ratio(tried.used_gbh, tried.used_gbh + tried.waste_gbh),
        "log2_error": draw.median(tried.error_log2),
        "held_log2": draw.mean(tried.held_log2),
    })  # fmt: skip
    rows = judged.rows
    if method.quantiles is not None:
        said = ~np.isnan(method.quantiles[rows, 0])
        figures |= distribution_figures(method.quantiles[rows[said]], np.log2(judged.peak_mb[said]), draw.of(said))
    if method.classes is not None:
        named = method.classes[rows] >= 0
        off = np.abs(method.classes[rows[named]] - class_of_value(np.log2(judged.peak_mb[named])))
        exact, near = (off == 0).astype(np.float64), (off <= 1).astype(np.float64)
        chosen = draw.of(named)
        figures |= _with_intervals({"class_exact": chosen.mean(exact), "class_within_one": chosen.mean(near)})
    return figures


def distribution_figures(quantiles: Array, value_log2: Array, resamples: Resamples) -> Figures:
    """Coverage and pinball loss of k distributions."""
    shares = coverage(quantiles, value_log2, COVERAGE_LEVELS, resamples)
    return {
        "coverage": {f"{100 * level:g}": one.value for level, one in zip(COVERAGE_LEVELS, shares, strict=True)},
        "coverage_interval": {
            f"{100 * level:g}": [one.low, one.high] for level, one in zip(COVERAGE_LEVELS, shares, strict=True)
        },
        "pinball": mean_pinball(quantiles, value_log2),
    }


def _with_intervals(intervals: Mapping[str, Interval]) -> Figures:
    """Each figure, and its interval under the name with `_interval`."""
    return {name: one.value for name, one in intervals.items()} | {
        f"{name}_interval": [one.low, one.high] for name, one in intervals.items()
    }
