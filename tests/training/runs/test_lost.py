"""Runs whose runner is killed, really, and that are taken up again."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from crowdrun.data.job import JobOutcome, JobRequest
from crowdrun.data.store import JobStore
from crowdrun.training.job import Resources, command_job
from crowdrun.training.launch.local import LocalLauncher
from crowdrun.training.runs.attempts import run_job
from crowdrun.training.runs.history import read_run, summary_of
from crowdrun.training.runs.records import RunRecord, read_attempts

RUNNER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_lost import go
    go(Path(sys.argv[2]), "import time; x = bytearray(50 << 20); print('on', flush=True); time.sleep(60)")
"""


def go(folder: Path, code: str, *, resume: Path | None = None) -> RunRecord:
    """Run a command, and keep its outcomes in a store."""

    def keep(request: JobRequest, outcome: JobOutcome) -> None:
        with JobStore.open(f"sqlite:///{folder / 'store.sqlite'}") as store:
            store.add_rows([asdict(request) | asdict(outcome)], source="test")

    job = command_job([sys.executable, "-S", "-c", code], work_dir=folder, name="lost")
    return run_job(
        replace(job, resources=Resources(mem_mb=300.0)),
        LocalLauncher(),
        runs_dir=folder / "runs",
        recommend=lambda _: None,
        keep=keep,
        resume=resume,
    )


def until(what: Callable[[], bool]) -> None:
    for _ in range(1200):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


@pytest.fixture(params=[False, True], ids=["the runner", "the runner and the supervisor"])
def killed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, bool]:
    """The folder of a run that was killed while its first attempt was under way, and whether its supervisor was too."""
    line = [sys.executable, "-c", textwrap.dedent(RUNNER), str(Path(__file__).parent), str(tmp_path)]
    runner = subprocess.Popen(line)
    until(lambda: any("on" in file.read_text() for file in tmp_path.glob("runs/*/attempt-1/output-0.log")))
    time.sleep(0.3)  # some samples of it
    [supervisor] = psutil.Process(runner.pid).children()
    runner.kill()
    if request.param:
        supervisor.kill()
    runner.wait()
    [folder] = tmp_path.glob("runs/*")
    return folder, request.param


def test_an_attempt_whose_runner_was_killed_is_in_the_record_and_once_in_the_store(
    killed: tuple[Path, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crowdrun.training.launch.local.GRACE_S", 1.0)
    folder, both = killed
    home = folder.parent.parent
    assert read_attempts(folder) == ()
    record = go(home, "print('again')", resume=folder)
    first, second = record.attempts
    assert (first.number, first.cause, first.outcome.state) == (
        (1, "its supervisor was killed", "FAILED") if both else (1, "its runner was killed", "CANCELLED")
    )
    assert (second.number, second.outcome.state, record.status) == (2, "COMPLETED", 0)
    assert first.outcome.peak_mem_mb
    assert first.outcome.peak_mem_mb > 50
    assert 0 < (first.outcome.start_time or 0) <= (first.outcome.end_time or 0) <= (second.outcome.start_time or 0)
    assert first.request.req_mem_mb == 300.0
    assert read_attempts(folder) == record.attempts
    assert summary_of(read_run(folder.parent, folder.name)).attempts == 2
    # Taken up once more, it is told of no more than once.
    go(home, "pass", resume=folder)
    with JobStore.open(f"sqlite:///{home / 'store.sqlite'}") as store:
        stored = store.jobs()
    assert list(stored["job_id"]) == [f"{folder.name}.{number}" for number in (1, 2, 3)]
    assert list(stored["state"]) == [first.outcome.state, "COMPLETED", "COMPLETED"]
