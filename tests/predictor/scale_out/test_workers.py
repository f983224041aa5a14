"""Fits on Dask workers: the same crowd as here, and errors that say what to do."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdrun.data.errors import ConfigError, LaunchError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.scale_out import workers
from crowdrun.predictor.scale_out.workers import SLURM, SlurmWorkers, fits_on_dask

distributed = pytest.importorskip("distributed", reason="Dask is not installed")

#: Dask and tornado open sockets and loops that they close in their own time.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster of two workers, each a process of its own."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path),
        memory_limit=0,
    ) as cluster:
        yield cluster.scheduler_address


def assert_same_advice(one: Crowd, other: Crowd, jobs: Any) -> None:
    requests = [JobRequest.from_mapping(row) for row in jobs.tail(40).to_dict("records")]
    for here, there in zip(one.recommend_many(requests), other.recommend_many(requests), strict=True):
        assert here.predictions.keys() == there.predictions.keys()
        for name, said in here.predictions.items():
            np.testing.assert_allclose(there.predictions[name].safe, said.safe, rtol=0.01, atol=1)
            assert there.predictions[name].evidence == said.evidence


def test_a_crowd_fitted_by_workers_says_what_one_fitted_here_says(address: str, job_log: Any, crowd: Crowd) -> None:
    with fits_on_dask(address):
        there = Crowd.train(job_log, seed=0)
    assert there.summary["targets"].keys() == crowd.summary["targets"].keys()
    assert_same_advice(crowd, there, job_log)


def test_without_an_address_fits_run_here(job_log: Any) -> None:
    with fits_on_dask(None):
        assert Crowd.train(job_log.head(120), seed=0).models


def test_a_scheduler_that_does_not_answer_is_named_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_S", 0.5)
    with pytest.raises(LaunchError, match=r"tcp://127\.0\.0\.1:9.*dask scheduler"), fits_on_dask("tcp://127.0.0.1:9"):
        pass


def test_without_dask_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'crowdrun\[dask\]'"), fits_on_dask(SLURM):
        pass


@pytest.mark.slurm
def test_slurm_jobs_fit_the_same_crowd(slurm: str, tmp_path: Path, job_log: Any, crowd: Crowd) -> None:
    asked = SlurmWorkers(jobs=2, cpus=1, memory_mb=1500, timelimit_s=600, folder=str(tmp_path))
    with fits_on_dask(SLURM, asked):
        there = Crowd.train(job_log, seed=0)
    assert_same_advice(crowd, there, job_log)
