"""What a real run left in its folder, as curves."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from crowdrun.api.dashboard.runs import attempts_of
from crowdrun.data.settings import Settings
from crowdrun.training.supervision import order
from crowdrun.training.supervision.gpus import GpuSample

JOB_FILE = """\
name = "digits"
task = "crowdrun.training.models.digits"
epochs = 2
[resources]
mem_mb = 4000
[options]
channels = 4
blocks = 1
"""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that has ended."""

    runs_dir: Path
    #: What `outcome.json` tells of its only attempt.
    attempt: dict[str, Any]

    @property
    def job_id(self) -> str:
        return str(self.attempt["request"]["job_id"])

    @property
    def folder(self) -> Path:
        return next(self.runs_dir.glob("*/attempt-1"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The runner ran a small network on this machine, two epochs."""
    home = tmp_path_factory.mktemp("ran")
    (home / "job.toml").write_text(JOB_FILE)
    command = [str(Path(sys.executable).parent / "crowdrun"), "run", "--no-predict", str(home / "job.toml")]
    subprocess.run(command, env=os.environ | {"CROWDRUN_HOME": str(home)}, check=True, capture_output=True, timeout=200)
    (outcome,) = (home / "runs").glob("*/outcome.json")
    return Ran(runs_dir=home / "runs", attempt=json.loads(outcome.read_text())["attempts"][0])


def test_a_run_has_its_memory_and_its_loss_over_time(ran: Ran) -> None:
    (attempt,) = attempts_of(ran.runs_dir, ran.job_id)
    assert attempt.plots.keys() == {"host memory", "loss"}
    assert [line["epoch"] for line in attempt.epochs] == [1, 2]
    (memory,) = attempt.plots["host memory"]["data"]
    assert max(memory["y"]) == max(sample.mem_mb for sample in order.read_samples(ran.folder, 0))
    assert attempt.scores["accuracy"] > 0


def test_a_run_with_gpus_has_their_memory_and_utilisation_too(ran: Ran, tmp_path: Path) -> None:
    runs_dir = shutil.copytree(ran.runs_dir, tmp_path / "runs")
    (folder,) = runs_dir.glob("*/attempt-1")
    seen = [GpuSample(time_s=float(s), mem_mb=None if s == 0 else 900.0, utilisation=0.5, gpus=1) for s in range(3)]
    order.gpu_samples_file(folder, 0).write_text("".join(f"{json.dumps(asdict(one))}\n" for one in seen))
    (attempt,) = attempts_of(runs_dir, ran.job_id)
    assert attempt.plots["GPU utilisation"]["data"][0]["y"] == [0.5] * 3
    assert attempt.plots["GPU memory"]["data"][0]["x"] == [1.0, 2.0]


def test_a_job_that_the_runner_did_not_run_has_none(ran: Ran, tmp_path: Path) -> None:
    runs_dir = shutil.copytree(ran.runs_dir, tmp_path / "runs")
    (runs_dir / "20990101T000000Z-killed-0000").mkdir()
    assert attempts_of(runs_dir, "1000") == attempts_of(tmp_path / "nothing", ran.job_id) == []
    assert len(attempts_of(runs_dir, ran.job_id)) == 1


@pytest.mark.chromium
def test_the_curves_are_on_the_page_of_the_job(
    ran: Ran, settings: Settings, opened: Callable[..., AbstractContextManager[Page]], service: httpx.Client
) -> None:
    shutil.copytree(ran.runs_dir, settings.runs_dir)
    service.post("/v1/jobs", json=ran.attempt["request"] | ran.attempt["outcome"]).raise_for_status()
    with opened(service.base_url) as page:
        page.goto(f"/dashboard/job?id={ran.job_id}")
        page.wait_for_selector("html[data-drawn=yes]")
        assert page.locator("figcaption").all_text_contents() == ["Host memory", "Loss"]
        assert page.locator("[data-chart] .trace path").count() >= 2
        page.get_by_text("Loss of each epoch").click()
        expect(page.get_by_role("row")).to_have_count(3)
