"""Runs on the real Slurm."""

import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from crowdrun.data.errors import LaunchError
from crowdrun.data.job import JobOutcome, JobRequest
from crowdrun.training.checkpoints.folder import FOLDER, newest
from crowdrun.training.job import Job, Resources, command_job, load_job
from crowdrun.training.launch import slurm_client
from crowdrun.training.launch.base import Attempt
from crowdrun.training.launch.slurm import SlurmLauncher
from crowdrun.training.runs.attempts import Listener, run_job
from crowdrun.training.runs.records import RunRecord

sys.path.insert(0, str(Path(__file__).parents[1]))
import kills

pytestmark = pytest.mark.slurm

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "digits.toml"
Kept = list[tuple[JobRequest, JobOutcome]]


def job_of(code: str, folder: Path, **resources: float) -> Job:
    command = [sys.executable, "-S", "-c", textwrap.dedent(code)]
    return replace(command_job(command, work_dir=folder, name="test"), resources=Resources(**resources))  # type: ignore[arg-type]


def run(folder: Path, job: Job, attempts: int = 2) -> tuple[RunRecord, Kept]:
    kept: Kept = []
    record = run_job(
        job,
        SlurmLauncher(),
        runs_dir=folder / "runs",
        recommend=lambda request: None,
        keep=lambda request, outcome: kept.append((request, outcome)),
        attempts=attempts,
    )
    return record, kept


def test_an_out_of_memory_death_under_slurm_climbs_the_ladder(slurm: str, tmp_path: Path) -> None:
    code = """
        import time
        held = []
        for _ in range(20): held.append(bytearray(10 << 20)); time.sleep(0.1)
    """
    record, kept = run(tmp_path, job_of(code, tmp_path, mem_mb=120))
    assert [(request.req_mem_mb, outcome.state) for request, outcome in kept] == [
        (120, "OUT_OF_MEMORY"),
        (240, "COMPLETED"),
    ]
    last = kept[-1][1]
    assert last.peak_mem_mb
    assert 195 < last.peak_mem_mb < 240
    assert record.status == 0


def test_the_outcome_is_that_of_the_schedulers_log(slurm: str, tmp_path: Path) -> None:
    record, kept = run(tmp_path, job_of("print('hello'); raise SystemExit(3)", tmp_path, mem_mb=100, timelimit_s=90))
    [(request, outcome)] = kept
    assert request.job_id
    [job, *_] = slurm_client.account(request.job_id)
    assert (job.state, job.exit_code, job.submit_time, job.start_time) == (
        "FAILED",
        "3:0",
        request.submit_time,
        outcome.start_time,
    )
    assert (outcome.state, outcome.exit_code, record.status) == ("FAILED", "3:0", 3)
    assert "hello" in (record.folder / "attempt-1" / "slurm.out").read_text()


def test_a_task_trains_on_two_nodes(slurm: str, tmp_path: Path) -> None:
    job = load_job(EXAMPLE, work_dir=tmp_path)
    assert job.task
    task = replace(job.task, options=replace(job.task.options, epochs=5))
    job = replace(job, resources=replace(job.resources, nodes=2, mem_mb=2400.0), task=task)
    record, kept = run(tmp_path, job)
    assert record.result, (record.folder / "attempt-1" / "output-0.log").read_text()
    assert record.result["scores"]["accuracy"] > 0.9
    assert kept[0][1].state == "COMPLETED"
    assert all((record.folder / "attempt-1" / f"node-{node}.json").exists() for node in (0, 1))


def test_a_run_that_is_told_to_stop_cancels_its_job(slurm: str, tmp_path: Path) -> None:
    def stop() -> None:
        samples = "runs/*/attempt-1/samples-0.jsonl"
        for _ in range(600):
            if any(tmp_path.glob(samples)):
                psutil.Process().terminate()
                return
            time.sleep(0.1)

    thread = threading.Thread(target=stop)
    thread.start()
    record, kept = run(tmp_path, job_of("import time; time.sleep(300)", tmp_path, mem_mb=100))
    thread.join()
    [(_, outcome)] = kept
    assert (outcome.state, record.status) == ("CANCELLED", 130)


def test_what_slurm_refuses_is_passed_on(slurm: str, tmp_path: Path) -> None:
    job = job_of("pass", tmp_path)
    job = replace(job, resources=Resources(partition="no-such-partition"))
    with pytest.raises(LaunchError, match=r"sbatch refused .*invalid partition"):
        run(tmp_path, job)


class TellsToStop(Listener):
    """As Slurm does some time before the end of a job's time, when there is a checkpoint."""

    def __init__(self) -> None:
        self._attempt: Attempt | None = None
        self._told = False

    def started(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def tick(self) -> None:
        assert self._attempt
        if self._told or not newest(self._attempt.folder.parent / FOLDER):
            return
        command = ["squeue", "--noheader", "--states=RUNNING", "--name=kills", "--format=%i"]
        for job_id in subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.split():
            done = subprocess.run(["scancel", "--batch", "--signal=USR1", job_id], capture_output=True, timeout=30)
            self._told = done.returncode == 0


def test_a_task_whose_time_is_nearly_over_goes_back_into_the_queue_and_ends_as_without(
    slurm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = kills.job(tmp_path, epochs=4)
    whole = kills.train(tmp_path / "whole", kills.without_checkpoints(job))
    monkeypatch.setenv("STEP_S", "0.4")
    record = run_job(
        replace(job, resources=Resources(mem_mb=3000)),
        SlurmLauncher(),
        runs_dir=tmp_path / "runs",
        recommend=lambda request: None,
        keep=lambda request, outcome: None,
        listener=TellsToStop(),
    )
    output = (record.folder / "attempt-1" / "output-0.log").read_text()
    assert [attempt.outcome.state for attempt in record.attempts] == ["COMPLETED"], output
    assert "told to stop (the job's script): saved at step " in output
    assert "going on from " in output
    assert kills.told(record) == kills.told(whole)
