"""A crowd that was trained on the log that ships with the project, and requests as its users could send them."""

from importlib.resources import as_file, files

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.job import JobRequest
from crowdrun.data.reading import load_jobs
from crowdrun.predictor.crowd import Crowd

LOG = files("crowdrun.data.samples") / "training-jobs.sacct.xz"


@pytest.fixture(scope="session")
def sample_jobs() -> pd.DataFrame:
    with as_file(LOG) as path:
        return load_jobs([path])


@pytest.fixture(scope="session")
def sample_crowd(sample_jobs: pd.DataFrame) -> Crowd:
    """Tests do not change it."""
    return Crowd.train(sample_jobs, seed=0)


@pytest.fixture(scope="session")
def some_requests(sample_jobs: pd.DataFrame) -> list[JobRequest]:
    """100 requests: jobs of the log, with other memory, time limits, names and users in three of four."""
    rng = np.random.default_rng(5)
    rows = sample_jobs.sample(100, random_state=5).to_dict("records")
    now = float(sample_jobs["end_time"].max()) + 3600
    for row in rows:
        row["submit_time"] = now
        if rng.random() < 0.75:
            row["req_mem_mb"] = float(np.round(2 ** rng.uniform(5, 18)))
            row["timelimit_s"] = None if rng.random() < 0.2 else float(np.round(2 ** rng.uniform(2, 17)))
            row["job_name"] = row["job_name"] if rng.random() < 0.7 else "something-else"
            row["user"] = row["user"] if rng.random() < 0.8 else "newcomer"
        if rng.random() < 0.15:
            row |= dict.fromkeys(("job_name", "command", "group", "account"))
    return [JobRequest.from_mapping(row) for row in rows]
