"""`crowdrun bench sizing`: the chosen logs, target by target, and the figures as one tree.

    {"logs": {NAME: {"jobs", "scored", "methods": {METHOD: {"waste_gbh", "fail", "retries", "maq", "coverage": {"90",
    "95", "99"}, ...}}}}}

Host memory is judged under "methods", with "frontier", "segments" and "groups" beside it; what else a log tells is
under "targets": {"gpus": ..., "run_time_s": ..., "wait_s": ...}.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import ConfigError
from crowdrun.predictor.evaluation.backtest import FEWEST_BETWEEN_REFITS, REFITS
from crowdrun.predictor.evaluation.bench.gpu_count import judge_gpu_count
from crowdrun.predictor.evaluation.bench.host_memory import judge_host_memory
from crowdrun.predictor.evaluation.bench.lineup import Tell
from crowdrun.predictor.evaluation.bench.run_time import judge_run_time
from crowdrun.predictor.evaluation.bench.traces import GPU_COUNT, HOST_MEMORY, LOADERS, RUN_TIME, WAIT, Trace
from crowdrun.predictor.evaluation.strict_json import strict
from crowdrun.predictor.evaluation.wait import evaluate_wait
from crowdrun.predictor.learning_log import worth_learning
from crowdrun.predictor.replay import Replayed, replay
from crowdrun.predictor.target import TARGETS_BY_NAME
from crowdrun.predictor.target_model import FEWEST_JOBS

Figures = dict[str, Any]
#: Told what is being done and the share that is done, 0 to 1.
Progress = Callable[[str, float], None]

#: Which jobs are judged, by their place in the log: all that the trace judges, what settings may be tuned on,
#: and what they never saw.
SHARES: dict[str, tuple[float, float]] = {"all": (0.0, 1.0), "first60": (0.0, 0.6), "last40": (0.6, 1.0)}

LOGS: tuple[str, ...] = tuple(LOADERS)
#: Targets beside host memory -> the logs on which each is judged.
OTHER_TARGETS = {"gpus": GPU_COUNT, "run_time_s": RUN_TIME, "wait_s": WAIT}


def run(
    traces: Path, *, logs: Sequence[str] = LOGS, share: str = "all", risk: float = 0.05, seed: int = 0,
    progress: Progress | None = None,
) -> Figures:  # fmt: skip
    """Replay the named logs of the folder and return every figure, None where there is none.

    Raises:
        LogError: a trace is not there or cannot be read.
        ConfigError: a name that is no log, or no share; says which there are.
    """
    _check("log", logs, LOGS)
    _check("share", [share], SHARES)
    began = time.monotonic()
    figures: Figures = {"share": share, "risk": risk, "seed": seed, "logs": {}}
    for place, name in enumerate(logs):

        def tell(doing: str, done: float, name: str = name, place: int = place) -> None:
            if progress:
                progress(f"{name}, {doing}", (place + min(done, 1.0)) / len(logs))

        figures["logs"][name] = judge(LOADERS[name](traces), share=share, risk=risk, seed=seed, tell=tell)
    figures["seconds"] = round(time.monotonic() - began, 1)
    told: Figures = strict(figures)
    return told


def judge(trace: Trace, *, share: str, risk: float, seed: int, tell: Tell) -> Figures:
    """Every target that the bench judges on the trace."""
    if share == "first60":
        # What comes later is not even replayed: settings that are tuned here cannot have seen it.
        trace = trace.first(round(SHARES[share][1] * len(trace.log)))
    scored = trace.judged & within(trace, share)
    refits = max(1, min(REFITS, len(trace.log) // FEWEST_BETWEEN_REFITS))

    def replayed(target: str) -> Replayed:
        return replay(
            trace.log, TARGETS_BY_NAME[target], refits=refits, risk=risk, seed=seed,
            progress=lambda done: tell(f"crowd, {target}", done),
        )  # fmt: skip

    figures: Figures = {"jobs": len(trace.log), "targets": {}}
    if trace.name in HOST_MEMORY:
        figures |= judge_host_memory(trace, scored, replayed("mem_mb"), refits=refits, risk=risk, seed=seed, tell=tell)
    if trace.name in GPU_COUNT:
        figures["targets"]["gpus"] = judge_gpu_count(trace, scored, replayed("gpus"))
    if trace.name in RUN_TIME:
        figures["targets"]["run_time_s"] = judge_run_time(trace, scored, replayed("run_time_s"), risk=risk)
    if trace.name in WAIT and worth_learning(trace.log, TARGETS_BY_NAME["wait_s"], FEWEST_JOBS) is None:
        figures["targets"]["wait_s"] = evaluate_wait(
            trace.log, scored, seed=seed, progress=lambda done: tell("crowd, wait_s", done)
        )
    return figures


def within(trace: Trace, share: str) -> NDArray[np.bool_]:
    """(n,) True for the jobs whose place in the log is in the share; a trace for first60 holds nothing else."""
    if share == "first60":
        return np.ones(len(trace.log), dtype=np.bool_)
    start, end = (round(limit * len(trace.log)) for limit in SHARES[share])
    place = np.arange(len(trace.log))
    return (place >= start) & (place < end)


def table(figures: Figures) -> Iterator[str]:
    """The main figures as lines of text."""
    for name, log in figures["logs"].items():
        yield f"{name}: {log['jobs']:,} jobs"
        for method, one in log.get("methods", {}).items():
            yield (
                f"  {method:26} {one['waste_gbh']:14,.1f} GB·h wasted {one['fail']:7.1%} fail "
                f"{one['retries']:7.3f} retries {one['held_log2']:6.2f} held"
            )
        for target, judged in log["targets"].items():
            for method, one in judged.get("methods", {"crowd": judged}).items():
                shown = (f"{key} {value:.4f}" for key, value in one.items() if isinstance(value, float))
                yield f"  {target}: {method:26} {', '.join(shown)}"


def _check(what: str, given: Collection[str], allowed: Collection[str]) -> None:
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ConfigError(f"there is no {what} {', '.join(unknown)}; there are {', '.join(allowed)}")
