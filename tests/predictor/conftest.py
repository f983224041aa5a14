"""A job table that behaves as a cluster's log does, and the features that learners see of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crowdrun.data.columns import SCHEMA
from crowdrun.predictor.features import Features
from crowdrun.predictor.history import History
from crowdrun.predictor.items import Items
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.replay import look
from crowdrun.predictor.target import TARGETS_BY_NAME

MakeJobs = Callable[..., pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What one user submits again and again."""

    user: str
    name: str
    command: str
    mem_mb: float
    run_time_s: float
    spread: float
    request_mb: float | None
    timelimit_s: float | None
    gpus: int


def _families(rng: np.random.Generator) -> list[Family]:
    """Six users with one to four families; some ask for ten times what they need, some for nothing."""
    families = []
    for user in range(6):
        for number in range(1 + user % 4):
            need = float(2 ** rng.uniform(8, 15))
            families.append(
                Family(
                    user=f"user{user}",
                    name=("train-{}", "lm_b{}_r3", "eval{}", "fit.{}.x")[number],
                    command=f"python {('train', 'tune', 'eval')[number % 3]}.py --batch-size {2 ** (4 + number)}",
                    mem_mb=need,
                    run_time_s=float(2 ** rng.uniform(5, 13)),
                    spread=float(rng.choice([0.0, 0.1, 0.5])),
                    request_mb=None if user == 3 else float(2 ** np.ceil(np.log2(need) + rng.uniform(0.3, 3))),
                    timelimit_s=None if user == 4 else 3600.0 * float(rng.integers(1, 5)),
                    gpus=int(rng.choice([0, 0, 1, 2])),
                )
            )
    return families


def _outcome(family: Family, start: float, need: float, run_time: float, rng: np.random.Generator) -> dict[str, object]:
    """How a run ends: killed at its request or limit, or done; the peak of one in twenty is not in the log."""
    row: dict[str, object] = {"state": "COMPLETED", "exit_code": "0:0", "peak_mem_mb": need, "alloc_gpus": family.gpus}
    if family.request_mb and need > family.request_mb:
        row |= {"state": "OUT_OF_MEMORY", "exit_code": "0:125", "peak_mem_mb": 0.93 * family.request_mb}
        run_time /= 2
    elif family.timelimit_s and run_time > family.timelimit_s:
        row |= {"state": "TIMEOUT", "exit_code": "0:15"}
        run_time = family.timelimit_s
    if family.gpus:
        row["peak_gpu_mem_mb"] = need / 2
    if rng.random() < 0.05:
        row["peak_mem_mb"] = None
    return row | {"end_time": start + run_time}


def _make_jobs(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    families = _families(rng)
    rows = []
    now = 1.7e9
    for number in range(n):
        now += float(rng.exponential(100.0))
        family = families[int(rng.integers(len(families)))]
        # Drift: after three fifths of the log every third family needs twice as much.
        drift = 2.0 if number > 0.6 * n and families.index(family) % 3 == 0 else 1.0
        need = family.mem_mb * drift * float(rng.lognormal(0, family.spread))
        start = now + float(rng.exponential(60.0))
        rows.append(
            {
                "job_id": str(5000 + number),
                "user": family.user,
                "group": f"group{int(family.user[-1]) % 2}",
                "account": None if family.user == "user2" else f"account{int(family.user[-1]) % 3}",
                "partition": "gpu" if family.gpus else "batch",
                "job_name": family.name.format(number % 17),
                "command": family.command,
                "submit_time": now,
                "start_time": start,
                "req_nodes": 1,
                "req_cpus": 4,
                "req_mem_mb": family.request_mb,
                "req_gpus": family.gpus,
                "timelimit_s": family.timelimit_s,
            }
            | _outcome(family, start, need, family.run_time_s * float(rng.lognormal(0, 0.3)), rng)
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()


@pytest.fixture(scope="session")
def make_jobs() -> MakeJobs:
    """make_jobs(n, seed): n jobs in canonical columns, in the order of their submission."""
    return _make_jobs


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a learner is given."""

    features: Features
    #: (n,) log2 of the peak over the anchor.
    target: Array

    def rows(self, index: slice) -> "Lesson":
        return Lesson(features=self.features.rows(index), target=self.target[index])


@pytest.fixture(scope="session")
def lesson() -> Lesson:
    """900 jobs with a known peak, in the order of their submission."""
    log = LearningLog.of(_make_jobs(1000, seed=1))
    target = TARGETS_BY_NAME["mem_mb"]
    features = look(log, target, History(), Items()).features
    value = log.values_log2(target)
    rows = np.flatnonzero(~np.isnan(value))[:900]
    return Lesson(features=features.rows(rows), target=value[rows] - features.anchor[rows])
