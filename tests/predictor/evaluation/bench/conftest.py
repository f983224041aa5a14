"""A small trace, judged as the bench judges the public ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crowdrun.predictor.baselines.known import families_of, has_peak
from crowdrun.predictor.evaluation.bench import run
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.metrics import late, users
from crowdrun.predictor.learning_log import LearningLog

MakeTrace = Callable[..., Trace]


@pytest.fixture(scope="session")
def make_trace() -> MakeTrace:
    """make_trace(jobs, **how): the trace of a table of jobs."""

    def make(jobs: pd.DataFrame, **how: Any) -> Trace:
        log = LearningLog.of(jobs)
        plain: dict[str, Any] = {
            "name": "small", "log": log, "judged": late(log), "has_peak": has_peak(log), "families": families_of(log),
            "blocks": users(log), "block_unit": "user",
        }  # fmt: skip
        return Trace(**plain | how)

    return make


@pytest.fixture(scope="session")
def figures(job_log: pd.DataFrame, make_trace: MakeTrace) -> dict[str, Any]:
    """The figures of `job_log` under all three targets, as `run.run` gives them."""
    with pytest.MonkeyPatch.context() as patch:
        for table in ("HOST_MEMORY", "GPU_COUNT", "RUN_TIME", "LOADERS"):
            patch.setitem(getattr(run, table), "small", lambda folder: make_trace(job_log))
        patch.setattr(run, "LOGS", ("small",))
        patch.setattr(run, "REFITS", 4)
        return run.run(Path(), logs=["small"])
