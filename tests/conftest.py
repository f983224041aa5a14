"""Fixtures for the services that some tests need: absent, a test is skipped with the reason; in CI it fails."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crowdrun.data.columns import SCHEMA

if TYPE_CHECKING:
    from crowdrun.predictor.crowd import Crowd

# The tests share few cores with the servers and trainings that they start: threads that wait for each other in every
# small matrix product make a training of ten seconds one of minutes. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


#: What only one test at a time can use: a cluster, a database.
_SERVICES = ("slurm", "postgresql")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes: who shares a service stays in one of them.

    pytest 9.2 keeps the ids of tests where pytest-xdist 3.8 does not write the groups; until it does, a test that needs
    a service for itself takes a lock.
    """
    for item in items:
        service = next((name for name in _SERVICES if item.get_closest_marker(name)), None)
        if service:
            item.add_marker(pytest.mark.xdist_group(service))


@pytest.fixture(autouse=True)
def crowdrun_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, so that no test touches the user's state.

    What asks from this machine needs no token and no patience; the tests of tokens and limits say otherwise.
    """
    home = tmp_path / "crowdrun-home"
    monkeypatch.setenv("CROWDRUN_TRUST_LOCAL", "admin")
    monkeypatch.setenv("CROWDRUN_RATE_PER_S", "1e9")
    for variable in ("STORE", "URL", "RISK", "CONFIG"):
        monkeypatch.delenv(f"CROWDRUN_{variable}", raising=False)
    monkeypatch.setenv("CROWDRUN_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def slurm() -> str:
    """The name of a real Slurm cluster that answers."""
    if not shutil.which("sbatch"):
        _absent("sbatch is not on the PATH")
    answer = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=30)
    if " is UP" not in answer.stdout:
        _absent(f"no Slurm controller answers: {answer.stdout.strip() or answer.stderr.strip()}")
    return "slurm"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium browser."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        _absent("there is no Chromium browser on the PATH (Debian: apt-get install chromium)")
    assert found
    return found


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    """The address of a PostgreSQL database that tests may write to, from CROWDRUN_TEST_POSTGRESQL."""
    url = os.environ.get("CROWDRUN_TEST_POSTGRESQL")
    if not url:
        _absent("CROWDRUN_TEST_POSTGRESQL is not set to the address of a PostgreSQL database")
    assert url
    return url


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder of public traces, from CROWDRUN_TRACES."""
    folder = os.environ.get("CROWDRUN_TRACES")
    if not folder or not Path(folder).is_dir():
        _absent("CROWDRUN_TRACES is not set to a folder of traces")
    assert folder
    return Path(folder)


@pytest.fixture(scope="session")
def job_log() -> pd.DataFrame:
    """400 jobs of 5 users in canonical columns, two minutes apart; what they need depends on user and name."""
    rng = np.random.default_rng(7)
    rows = []
    for number in range(400):
        user, family = number % 5, int(rng.integers(3))
        submit = 1.7e9 + 120.0 * number
        run_time = float(60 * (1 + family) * rng.lognormal(0, 0.2))
        rows.append(
            {
                "job_id": str(1000 + number),
                "user": f"user{user}",
                "group": f"group{user % 2}",
                "partition": "batch",
                "job_name": f"train{'abc'[family]}-{number}",
                "submit_time": submit,
                "start_time": submit + 5,
                "end_time": submit + 5 + run_time,
                "req_nodes": 1,
                "req_cpus": 4,
                "req_mem_mb": 16384.0,
                "req_gpus": family,
                "timelimit_s": 3600.0,
                "state": "COMPLETED",
                "exit_code": "0:0",
                "peak_mem_mb": float(500 * (1 + user) * 2**family * rng.lognormal(0, 0.1)),
                "alloc_gpus": family,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()


@pytest.fixture(scope="session")
def crowd(job_log: pd.DataFrame) -> "Crowd":
    """A crowd that was trained on `job_log`; tests do not change it."""
    # Brings the training libraries in, which most tests do without.
    from crowdrun.predictor.crowd import Crowd

    return Crowd.train(job_log, seed=0)


@pytest.fixture(scope="session")
def queued_log() -> pd.DataFrame:
    """500 jobs through a first-come queue of four places that is empty at times and hours long at others."""
    rng = np.random.default_rng(11)
    free = [1.7e9] * 4
    rows, now = [], 1.7e9
    for number in range(500):
        # A burst of 25 jobs every few hours; a quiet trickle between.
        now += float(rng.exponential(20.0 if number % 50 < 25 else 1500.0))
        place = int(np.argmin(free))
        start = max(now + 2.0, free[place])
        free[place] = end = start + float(rng.lognormal(6.5, 0.5))
        rows.append(
            {
                "job_id": str(number), "user": f"user{number % 3}", "partition": "batch", "job_name": "train",
                "submit_time": now, "start_time": start, "end_time": end, "req_nodes": 1, "req_cpus": 4,
                "timelimit_s": 7200.0, "state": "COMPLETED", "exit_code": "0:0",
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()


@pytest.fixture(scope="session")
def waiting_crowd(queued_log: pd.DataFrame) -> "Crowd":
    """A crowd that was trained on `queued_log`; tests do not change it."""
    from crowdrun.predictor.crowd import Crowd

    return Crowd.train(queued_log, seed=0)
