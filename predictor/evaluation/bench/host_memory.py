"""Host memory: every method on one log, judged on the same jobs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.baselines.families import Families, Sized, play
from crowdrun.predictor.baselines.registry import BASELINES
from crowdrun.predictor.classes import class_of_value
from crowdrun.predictor.evaluation.allocations import allocation_mb, request_mb
from crowdrun.predictor.evaluation.backtest import FEWEST_BETWEEN_REFITS, REFITS
from crowdrun.predictor.evaluation.bench.methods import Method
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.bootstrap import Interval, Resamples
from crowdrun.predictor.evaluation.metrics import Judged, Retry, coverage, mean_pinball
from crowdrun.predictor.learning_log import LearningLog, numbers
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.replay import Replayed, replay
from crowdrun.predictor.target import TARGETS_BY_NAME

Figures = dict[str, Any]
#: Told what is being done and the share that is done, 0 to 1.
Tell = Callable[[str, float], None]

TARGET = TARGETS_BY_NAME["mem_mb"]
COVERAGE_LEVELS: Array = np.array([0.9, 0.95, 0.99])


def judge_host_memory(trace: Trace, scored: NDArray[np.bool_], *, risk: float, seed: int, tell: Tell) -> Figures:
    """The figures of every method on the jobs of `scored` (n,) whose peak is believed."""
    judged = _judged(trace, scored)
    methods = _methods(trace, judged, risk=risk, seed=seed, tell=tell)
    return {
        "jobs": len(trace.log),
        "scored": len(judged.rows),
        "resampled": judged.resamples.unit,
        "blocks": judged.resamples.blocks,
        "methods": {method.name: figures_of(method, judged) for method in methods},
    }


def _judged(trace: Trace, scored: NDArray[np.bool_]) -> Judged:
    rows = np.flatnonzero(scored & trace.has_peak)
    peak = numbers(trace.log.jobs, "peak_mem_mb")
    run = numbers(trace.log.jobs, "end_time") - numbers(trace.log.jobs, "start_time")
    return Judged(
        rows=rows, peak_mb=peak[rows], hours=run[rows] / 3600, mb_per_gb=trace.mb_per_gb,
        # The whole log's: what a machine can give does not hang on the share that is judged.
        cap_mb=float(np.nanmax(np.concatenate([[0.0], peak, request_mb(trace.log)]))),
        resamples=Resamples.over_users(trace.blocks[rows], unit=trace.block_unit),
    )  # fmt: skip


def _methods(trace: Trace, judged: Judged, *, risk: float, seed: int, tell: Tell) -> list[Method]:
    log = trace.log
    refits = max(1, min(REFITS, len(log) // FEWEST_BETWEEN_REFITS))
    replayed = replay(log, TARGET, refits=refits, risk=risk, seed=seed, progress=lambda share: tell("crowd", share))
    sized = play(
        log, BASELINES, trace.families, judged.cap_mb, trace.has_peak, lambda share: tell("published methods", share)
    )
    usual = at_maximum(log, trace.families, trace.has_peak, judged) if trace.retry_at_maximum else None
    return [*_crowd(log, replayed, usual), *_published(sized, judged)]


def _crowd(log: LearningLog, replayed: Replayed, usual: Retry | None) -> list[Method]:
    return [
        Method(
            name=f"crowd_{name}", title=f"crowd, {name}", kind="crowd", retry=usual,
            allocation_mb=allocation_mb(log, replayed, getattr(replayed, f"{name}_log2")),
            quantiles=replayed.calibrated, classes=replayed.class_crowd,
        )
        for name in ("safe", "lean")
    ]  # fmt: skip


def _published(sized: Mapping[str, Sized], judged: Judged) -> list[Method]:
    return [
        Method(
            name=name, title=BASELINES[name].title, kind="published", allocation_mb=one.first_mb,
            retry=own_retry(one, judged),
        )
        for name, one in sized.items()
    ]  # fmt: skip


def own_retry(sized: Sized, judged: Judged) -> Retry:
    """The attempts that the method itself made."""

    def retry(short: NDArray[np.intp], failed_mb: Array, attempt: int) -> Array:
        del failed_mb
        return np.array([sized.later_mb[row][attempt - 1] for row in judged.rows[short].tolist()])

    return retry


def at_maximum(log: LearningLog, families: Families, useful: NDArray[np.bool_], judged: Judged) -> Retry:
    """The largest peak of the family's jobs that had ended at the submission, then doubled."""
    largest: dict[object, float] = {}
    known = np.zeros(len(log))
    peak = numbers(log.jobs, "peak_mem_mb")
    for what, row in events(log.submit_time.tolist(), log.end_time.tolist()):
        key = families[row][0]
        if what == "submit":
            known[row] = largest.get(key, 0.0)
        elif useful[row]:
            largest[key] = max(largest.get(key, 0.0), float(peak[row]))

    def retry(short: NDArray[np.intp], failed_mb: Array, attempt: int) -> Array:
        del failed_mb
        return known[judged.rows[short]] if attempt == 1 else np.zeros(len(short))

    return retry


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
