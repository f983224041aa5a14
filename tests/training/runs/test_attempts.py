"""Runs on this machine, with processes that really die for want of the memory that they are given."""

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from crowdrun.data.errors import ConfigError, LaunchError
from crowdrun.data.job import JobOutcome, JobRequest, Recommendation, TargetPrediction
from crowdrun.training.job import Job, Resources, command_job
from crowdrun.training.launch.base import Attempt, Ended, Launcher, Tick
from crowdrun.training.launch.local import LocalLauncher
from crowdrun.training.planning.plan import Machine
from crowdrun.training.runs.attempts import first_attempt, plan_run, run_job
from crowdrun.training.runs.job_file import read_job
from crowdrun.training.runs.records import RunRecord, under_way

Kept = list[tuple[JobRequest, JobOutcome]]
Gone = Callable[[Iterable[int]], None]

GROWS_TO_160_MB = """
import time
held = []
for _ in range(15): held.append(bytearray(10 << 20)); time.sleep(0.05)
"""


def job_of(code: str, *, mem_mb: float | None = None) -> Job:
    job = command_job([sys.executable, "-S", "-c", code], work_dir=Path.cwd(), name="grows")
    return replace(job, resources=Resources(mem_mb=mem_mb))


def says(safe: float, *ladder: float) -> Callable[[JobRequest], Recommendation]:
    memory = TargetPrediction(
        target="mem_mb",
        quantiles={0.5: safe},
        safe=safe,
        lean=safe,
        ladder=ladder,
        members={"recent": (safe, 1.0)},
        risk_curve=((0.0, 1.0), (safe, 0.05)),
    )
    return lambda request: Recommendation(request=request, risk=0.05, predictions={"mem_mb": memory})


def run(
    folder: Path, job: Job, recommend: Callable[[JobRequest], Recommendation | None], **options: int
) -> tuple[RunRecord, Kept]:
    kept: Kept = []
    record = run_job(
        job,
        LocalLauncher(),
        runs_dir=folder,
        recommend=recommend,
        keep=lambda request, outcome: kept.append((request, outcome)),
        **options,  # type: ignore[arg-type]
    )
    return record, kept


def test_an_out_of_memory_death_climbs_the_ladder_and_each_attempt_is_kept(tmp_path: Path) -> None:
    record, kept = run(tmp_path, job_of(GROWS_TO_160_MB, mem_mb=4000), says(60, 400))
    assert [(request.req_mem_mb, outcome.state) for request, outcome in kept] == [
        (60, "OUT_OF_MEMORY"),
        (400, "COMPLETED"),
    ]
    assert [request.job_id for request, _ in kept] == [f"{record.run_id}.1", f"{record.run_id}.2"]
    assert kept[1][1].peak_mem_mb
    assert 150 < kept[1][1].peak_mem_mb < 200
    assert kept[0][0].submit_time != kept[1][0].submit_time
    assert (record.status, record.request.req_mem_mb) == (0, 4000)


class DiesHolding(Launcher):
    """Stands in for a machine: each attempt dies holding so much."""

    name = "dies"

    def __init__(self, *held_mb: float) -> None:
        self.held_mb = list(held_mb)

    def machine(self) -> Machine:
        return Machine(name=self.name)

    def text(self, attempt: Attempt) -> str:
        return attempt.mark

    def run(self, attempt: Attempt, tick: Tick) -> Ended:
        outcome = JobOutcome(start_time=1.0, end_time=2.0, state="OUT_OF_MEMORY", peak_mem_mb=self.held_mb.pop(0))
        return Ended(job_id=attempt.mark, outcome=outcome, cause=None, status=137)


def test_a_rung_below_what_was_measured_is_passed_over(tmp_path: Path) -> None:
    kept: Kept = []
    run_job(
        job_of("pass"),
        DiesHolding(75, 380, 390),
        runs_dir=tmp_path,
        recommend=says(60, 70, 80, 400),
        keep=lambda request, outcome: kept.append((request, outcome)),
    )
    assert [request.req_mem_mb for request, _ in kept] == [60, 80, 400]


def test_the_ladder_ends_with_the_attempts(tmp_path: Path) -> None:
    record, kept = run(tmp_path, job_of(GROWS_TO_160_MB), says(30, 100, 110), attempts=1)
    assert (len(kept), record.status) == (1, 137)


def test_another_failure_is_not_tried_again(tmp_path: Path) -> None:
    record, kept = run(tmp_path, job_of("raise SystemExit(3)", mem_mb=500), says(100, 200))
    assert [outcome.state for _, outcome in kept] == ["FAILED"]
    assert (record.status, kept[0][1].exit_code) == (3, "3:0")


def test_without_a_recommendation_the_job_gets_what_it_asks_for(tmp_path: Path) -> None:
    _, kept = run(tmp_path, job_of("pass", mem_mb=500), lambda request: None)
    assert [(request.req_mem_mb, outcome.state) for request, outcome in kept] == [(500, "COMPLETED")]


def test_the_run_folder_tells_the_story(tmp_path: Path) -> None:
    record, _ = run(tmp_path, job_of("print('hello')", mem_mb=500), says(100))
    told = json.loads((record.folder / "outcome.json").read_text())
    planned = json.loads((record.folder / "plan.json").read_text())
    assert record.folder.parent == tmp_path
    assert (planned["attempts"], planned["plan"]["mem_mb"], planned["request"]["req_mem_mb"]) == ([], 100, 500)
    assert told["attempts"][0]["outcome"]["state"] == "COMPLETED"
    assert told["recommendation"]["predictions"]["mem_mb"]["safe"] == 100
    assert (record.folder / "attempt-1" / "output-0.log").read_text() == "hello\n"


def test_a_program_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="there is no program 'no-such-program'"):
        run(tmp_path, command_job(["no-such-program"], work_dir=tmp_path), says(100))


def test_several_nodes_are_refused_on_one_machine(tmp_path: Path) -> None:
    job = replace(job_of("pass"), ranks=2, resources=Resources(nodes=2))
    with pytest.raises(LaunchError, match="this is one machine, not 2; run with --on slurm"):
        run(tmp_path, job, says(100))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match=r"cannot make .*; set --home"):
        run(tmp_path / "file", job_of("pass"), says(100))


def test_no_attempts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="attempts is 0"):
        run(tmp_path, job_of("pass"), says(100), attempts=0)


def test_a_command_that_is_no_python_program_cannot_be_several_ranks(tmp_path: Path) -> None:
    job = replace(command_job(["bash", "x.sh"], work_dir=tmp_path), ranks=2)
    with pytest.raises(LaunchError, match="'bash' cannot be run as several ranks"):
        run(tmp_path, job, says(100))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_keeps_its_outcome_and_leaves_no_process(
    assert_gone: Gone, tmp_path: Path, number: int
) -> None:
    # A suite that a shell started in the background ignores SIGINT, and hands that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def stop() -> None:
        for _ in range(200):
            if pid.exists() and pid.read_text():
                psutil.Process().send_signal(number)
                return
            time.sleep(0.05)

    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        record, kept = run(tmp_path, job_of(code), says(500, 600))
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert [outcome.state for _, outcome in kept] == ["CANCELLED"]
    assert record.status == 130
    assert_gone([int(pid.read_text())])


def test_the_signal_that_the_time_is_nearly_over_is_passed_on_to_a_command_unchanged(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = f"""
        import os, pathlib, signal, time
        def told(number, frame):
            print("told", signal.Signals(number).name)
            os._exit(7)
        signal.signal(signal.SIGUSR1, told)
        pathlib.Path({str(ready)!r}).touch()
        time.sleep(60)
    """

    def tell() -> None:
        for _ in range(400):
            if ready.exists():
                psutil.Process().send_signal(signal.SIGUSR1)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=tell)
    thread.start()
    record, kept = run(tmp_path, job_of(textwrap.dedent(code)), says(500))
    thread.join()
    assert [outcome.exit_code for _, outcome in kept] == ["7:0"]
    assert (record.status, record.goes_on) == (7, False)
    assert (record.folder / "attempt-1" / "output-0.log").read_text() == "told SIGUSR1\n"


def test_a_supervisor_that_is_killed_leaves_its_samples_and_no_process(assert_gone: Gone, tmp_path: Path) -> None:
    def kill() -> None:
        for _ in range(200):
            supervisors = [
                p for p in psutil.Process().children() if "crowdrun.training.supervision.supervise" in p.cmdline()
            ]
            if supervisors and pid.exists() and pid.read_text():
                time.sleep(0.5)
                supervisors[0].kill()
                return
            time.sleep(0.05)

    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); x = bytearray(50 << 20); time.sleep(60)"
    thread = threading.Thread(target=kill)
    thread.start()
    _, kept = run(tmp_path, job_of(code), says(500, 600))
    thread.join()
    [(_, outcome)] = kept
    assert (outcome.state, outcome.exit_code) == ("FAILED", "0:9")
    assert outcome.peak_mem_mb
    assert outcome.peak_mem_mb > 50
    assert_gone([int(pid.read_text())])


def test_two_ranks_of_a_plain_script_run_under_torchrun_with_modules_of_any_name(tmp_path: Path) -> None:
    for name in ("data", "training", "api", "predictor"):
        (tmp_path / f"{name}.py").write_text(f"word = 'my {name}'\n")
    (tmp_path / "main.py").write_text(
        "import os, api, data, predictor, training\n"
        "print(os.environ['RANK'], os.environ['WORLD_SIZE'], data.word, training.word, api.word, predictor.word)\n"
    )
    job = replace(command_job([sys.executable, "-u", "main.py"], work_dir=tmp_path), ranks=2)
    record, _ = run(tmp_path / "runs", job, lambda request: None)
    output = (record.folder / "attempt-1" / "output-0.log").read_text()
    assert record.status == 0, output
    for rank in (0, 1):
        assert f"{rank} 2 my data my training my api my predictor" in output


def test_the_text_of_a_dry_run_is_a_line_that_a_shell_runs(tmp_path: Path) -> None:
    job = job_of("print('as it is')")
    attempt = first_attempt(job, plan_run(job, LocalLauncher(), says(300), tmp_path))
    text = LocalLauncher().text(attempt)
    assert not attempt.folder.exists()
    attempt.folder.mkdir()
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("as it is\n", 0)


def test_a_run_that_is_under_way_cannot_be_taken_up_by_another(tmp_path: Path) -> None:
    record, _ = run(tmp_path, job_of("pass"), lambda request: None)
    with under_way(record.folder), pytest.raises(LaunchError, match=f"{record.run_id} is still under way; end it"):
        run_job(
            job_of("pass"), LocalLauncher(), runs_dir=tmp_path, recommend=lambda request: None,
            keep=lambda request, outcome: None, resume=record.folder,
        )  # fmt: skip


def test_a_plain_command_is_not_taken_up_since_it_knows_itself_where_it_was(tmp_path: Path) -> None:
    record, _ = run(tmp_path, job_of("pass"), lambda request: None)
    with pytest.raises(LaunchError, match="was a plain command; start it again by itself"):
        read_job(record.folder)
