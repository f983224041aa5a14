"""`crowdrun backtest`: replay a log in time order, and write what was said of each job, the figures and the report.

predictions.csv   one row a job, PREDICTION_COLUMNS
report.json       every figure
report.html       the same with plots
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import NotEnoughDataError
from crowdrun.predictor.evaluation.allocations import abstains, allocation_mb
from crowdrun.predictor.evaluation.report import write_report
from crowdrun.predictor.learning_log import LearningLog, numbers, worth_learning
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.replay import Replayed, replay
from crowdrun.predictor.target import TARGETS, Target
from crowdrun.predictor.target_model import FEWEST_JOBS

#: The members are fitted anew this often over the log.
REFITS = 24
#: A small log is fitted anew after no fewer submissions than this.
FEWEST_BETWEEN_REFITS = 25

PREDICTION_COLUMNS: tuple[str, ...] = (
    "job_id", "submit_time", "mem_mb_p50", "mem_mb_p90", "mem_mb_p95", "mem_mb_p99", "mem_mb_safe", "mem_mb_lean",
    "class_mode", "class_poll", "class_crowd", "run_time_s_p50", "run_time_s_p95", "gpus", "abstained",
)  # fmt: skip


def run(
    jobs: pd.DataFrame, out: Path, *, risk: float = 0.05, seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Mapping[str, Any]:  # fmt: skip
    """Replay the jobs (canonical columns), write the three files into the folder `out`, return the report's figures.

    Raises:
        NotEnoughDataError: the log has too few jobs with a believable memory peak or run time.
    """
    began = time.monotonic()
    log = LearningLog.of(jobs)
    refits = max(1, min(REFITS, len(log) // FEWEST_BETWEEN_REFITS))
    reasons = {target.name: worth_learning(log, target, FEWEST_JOBS) for target in TARGETS}
    learned = [target for target in TARGETS if reasons[target.name] is None]
    if not learned:
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise NotEnoughDataError(f"the log cannot be backtested, it teaches no target: {told}")
    replayed: dict[str, Replayed] = {}
    for target in learned:

        def tell(share: float, name: str = target.name) -> None:
            if progress:
                progress(name, share)

        replayed[target.name] = replay(log, target, refits=refits, risk=risk, seed=seed, progress=tell)
    out.mkdir(parents=True, exist_ok=True)
    table = predictions(log, replayed)
    write_atomically(out / "predictions.csv", table.to_csv(index=False, float_format="%.10g").encode())
    return write_report(out, log, replayed, risk=risk, seconds=time.monotonic() - began)


def predictions(log: LearningLog, replayed: Mapping[str, Replayed]) -> pd.DataFrame:
    """PREDICTION_COLUMNS for every job; an abstained one keeps its own request, empty means that nothing is said."""
    columns: dict[str, Any] = {"job_id": log.jobs["job_id"], "submit_time": log.submit_time}
    memory, run_time, gpus = (replayed.get(name) for name in ("mem_mb", "run_time_s", "gpus"))
    abstained = abstains(memory) if memory else np.ones(len(log), dtype=np.bool_)
    for level in (0.5, 0.9, 0.95, 0.99):
        columns[f"mem_mb_p{level * 100:.0f}"] = _at(memory, level, len(log))
    for name in ("safe", "lean"):
        said = (
            allocation_mb(log, memory, getattr(memory, f"{name}_log2")) if memory else numbers(log.jobs, "req_mem_mb")
        )
        columns[f"mem_mb_{name}"] = said
    for name in ("mode", "poll", "crowd"):
        columns[f"class_{name}"] = _class_mb(getattr(memory, f"class_{name}") if memory else None, len(log))
    columns["run_time_s_p50"] = _at(run_time, 0.5, len(log))
    columns["run_time_s_p95"] = _at(run_time, 0.95, len(log))
    columns["gpus"] = np.round(gpus.target.from_log2(gpus.safe_log2)) if gpus else numbers(log.jobs, "req_gpus")
    columns["abstained"] = abstained.astype(np.int64)
    return pd.DataFrame(columns)[list(PREDICTION_COLUMNS)]


def _at(replayed: Replayed | None, level: float, rows: int) -> Array:
    if replayed is None:
        return np.full(rows, np.nan)
    target: Target = replayed.target
    return target.from_log2(replayed.calibrated[:, LEVELS.tolist().index(level)])


def _class_mb(classes: NDArray[np.int64] | None, rows: int) -> pd.Series:
    """The upper bound of each class, MB; empty where there is none."""
    if classes is None:
        return pd.Series([pd.NA] * rows, dtype="Int64")
    return pd.Series(np.exp2(np.maximum(classes, 0)).astype(np.int64), dtype="Int64").mask(classes < 0)
