"""A synthetic cluster whose log can be made to drift, and a crowd that is trained in a second."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crowdrun.data.columns import SCHEMA
from crowdrun.predictor.target import TARGETS
from crowdrun.predictor.target_settings import TargetSettings

Drift = Literal["none", "family", "cohort", "unit"]
FAMILIES = 24
#: Of a cohort that comes new, and its share of the jobs from then on.
COHORT_FAMILIES, COHORT_SHARE = 6, 0.3


@dataclass(frozen=True, kw_only=True)
class Family:
    """What one user submits again and again."""

    user: str
    name: str
    mem_mb: float
    run_time_s: float
    #: Standard deviation of the natural logarithm of a job's memory.
    spread: float


def _family(number: int, rng: np.random.Generator, prefix: str = "user") -> Family:
    return Family(
        user=f"{prefix}{number // 2}", name=f"train{'xyzuvw'[number % 6]}", mem_mb=float(2 ** rng.uniform(9, 15)),
        run_time_s=float(2 ** rng.uniform(7, 11)), spread=float(rng.choice([0.05, 0.15, 0.3])),
    )  # fmt: skip


def make_cluster(jobs: int, *, seed: int, drift: Drift = "none", at: int = 0, until: int | None = None) -> pd.DataFrame:
    """A log in canonical columns, one job a minute or so, in the order of submission.

    From job `at` on: "family": the busiest family needs twice as much; "cohort": users who were never seen come;
    "unit": the memory of every job (peak and request) up to `until` is 1024 times what it should be.
    """
    rng = np.random.default_rng(seed)
    families = [_family(number, rng) for number in range(FAMILIES)]
    share = 1 / np.arange(2, FAMILIES + 2)
    share /= share.sum()
    newcomers = [_family(number, rng, "newcomer") for number in range(COHORT_FAMILIES)]
    rows, now = [], 1.7e9
    for number in range(jobs):
        now += float(rng.exponential(60.0))
        drifts = drift != "none" and number >= at and (until is None or number < until)
        place = int(rng.choice(FAMILIES, p=share))
        family = families[place]
        if drifts and drift == "cohort" and rng.random() < COHORT_SHARE:
            family = newcomers[int(rng.integers(COHORT_FAMILIES))]
        need = family.mem_mb * float(rng.lognormal(0, family.spread))
        need *= 2.0 if drifts and drift == "family" and place == 0 else 1.0
        factor = 1024.0 if drifts and drift == "unit" else 1.0
        start = now + float(rng.exponential(20.0))
        rows.append({
            "job_id": str(number), "user": family.user, "group": f"group{number % 2}", "partition": "batch",
            "job_name": f"{family.name}-{number}", "submit_time": now, "start_time": start,
            "end_time": start + 10 + family.run_time_s * float(rng.lognormal(0, 0.3)), "req_nodes": 1, "req_cpus": 4,
            "req_mem_mb": 2**17 * factor, "timelimit_s": 86400.0, "state": "COMPLETED", "exit_code": "0:0",
            "peak_mem_mb": need * factor, "alloc_gpus": 0,
        })  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()


@pytest.fixture(scope="session")
def cluster() -> Callable[..., pd.DataFrame]:
    """`make_cluster`."""
    return make_cluster


@pytest.fixture(scope="session")
def quick() -> Mapping[str, TargetSettings]:
    """Settings whose fit takes a fraction of a second: for tests of what is done with a crowd, not of the crowd."""
    return {target.name: TargetSettings(members=("recent", "linear")) for target in TARGETS}
