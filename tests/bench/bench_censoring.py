"""What it buys to use an out-of-memory job's peak as a bound, against dropping it and against taking it as its need.

On the shipped log and, where CROWDRUN_TRACES has it, on iu-mason: as they are, and with censoring injected: each job is
given a limit around what its user's jobs of that name need, and who needs more is said to have died there. What those
really needed is known, so all are scored.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from crowdrun.data.reading import load_jobs
from crowdrun.predictor.evaluation.allocations import allocation_mb
from crowdrun.predictor.evaluation.backtest import FEWEST_BETWEEN_REFITS, REFITS
from crowdrun.predictor.evaluation.metrics import late, mean_pinball
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import LEVELS
from crowdrun.predictor.replay import replay
from crowdrun.predictor.target import TARGETS_BY_NAME
from crowdrun.predictor.target_settings import TargetSettings

MEMORY = TARGETS_BY_NAME["mem_mb"]
MEMBERS = TargetSettings(members=("recent", "own_range", "neighbours", "linear", "boosted"))
SEED = 7
#: Mean and standard deviation of log2 (limit / median need of the user's jobs of that name).
LIMIT_LOG2 = (0.4, 0.6)
COVERED = int(np.searchsorted(LEVELS, 0.95))
#: Name -> the label that a bound gets; None drops it.
TREATMENTS: dict[str, str | None] = {"a bound": "at_least", "dropped": None, "taken as the need": "measured"}


def main() -> str:
    lines = [
        "| log | bounds | treated as | pinball, log2 | coverage of 95% | safe: held, mean log2 | safe: fail |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, log in _logs():
        for what, known in (("as they are", log), ("injected", _injected(log))):
            bounds = int((known.labels["mem_label"] == "at_least").sum())
            for treatment, label in TREATMENTS.items():
                told = " | ".join(_scores(log, _treated(known, label)))
                lines.append(f"| {name} | {bounds} {what} | {treatment} | {told} |")
    return "\n".join(["## censoring", "", *lines])


def _logs() -> Iterator[tuple[str, LearningLog]]:
    with as_file(files("crowdrun.data.samples") / "training-jobs.sacct.xz") as path:
        yield "shipped log", LearningLog.of(load_jobs([path]))
    for path in Path(os.environ.get("CROWDRUN_TRACES", "/nowhere")).glob("iu-mason-2017.*"):
        yield "iu-mason", LearningLog.of(load_jobs([path], "pbs"))


def _injected(log: LearningLog) -> LearningLog:
    generator = np.random.default_rng(SEED)
    labels = log.labels.copy()
    measured = labels["mem_label"] == "measured"
    names = [log.jobs["user"], log.jobs["job_name"].fillna(log.jobs["command"])]
    usual = labels["mem_mb"].where(measured).groupby(names).transform("median")
    limit = usual * np.exp2(generator.normal(*LIMIT_LOG2, len(log)))
    died = measured & (labels["mem_mb"] > limit)
    labels.loc[died, "mem_label"] = "at_least"
    labels.loc[died, "mem_mb"] = limit[died]
    return replace(log, labels=labels)


def _treated(log: LearningLog, label: str | None) -> LearningLog:
    labels = log.labels.copy()
    bound = labels["mem_label"] == "at_least"
    labels.loc[bound, "mem_label"] = label or "unknown"
    if label is None:
        labels.loc[bound, "mem_mb"] = np.nan
    return replace(log, labels=labels)


def _scores(truth: LearningLog, known: LearningLog) -> Iterator[str]:
    refits = max(1, min(REFITS, len(known) // FEWEST_BETWEEN_REFITS))
    replayed = replay(known, MEMORY, refits=refits, risk=0.05, settings=MEMBERS)
    rows = np.flatnonzero(late(truth) & truth.measured(MEMORY) & replayed.predicted)
    value = truth.values_log2(MEMORY)[rows]
    given = np.log2(allocation_mb(known, replayed, replayed.safe_log2)[rows])
    yield f"{mean_pinball(replayed.calibrated[rows], value):.4f}"
    yield f"{(value <= replayed.calibrated[rows, COVERED]).mean():.1%}"
    yield f"{(given - value).mean():.2f}"
    yield f"{(value > given).mean():.1%}"
