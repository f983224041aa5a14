"""--crowd-retry on the real Slurm: more memory after an out-of-memory end, and after nothing else."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from crowdrun.api import sbatch

pytestmark = pytest.mark.slurm

#: Holds what it is told to for a second, so that sampling sees it too, and then ends with a status.
HOLD = "import sys, time; held = bytearray(int(sys.argv[1]) << 20); time.sleep(2); sys.exit(int(sys.argv[2]))"


@pytest.fixture
def folder(slurm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: Any) -> Path:
    answering.answers({"line": None, "ladder_mb": [], "asked": {"mem_mb": 80}})
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    return tmp_path


def script(folder: Path, mb: int, status: int = 0, before: str = "") -> str:
    """A job that needs so much memory."""
    text = f"#!/bin/sh\n#SBATCH --mem=80M -t 1 -o out.txt\necho attempt with $SLURM_MEM_PER_NODE\n{before}"
    (folder / "hold.py").write_text(HOLD)
    (folder / "job.sh").write_text(f"{text}{sys.executable} -IS hold.py {mb} {status}\n")
    return "job.sh"


def submit(*arguments: str) -> tuple[str, list[str], str]:
    """Submit; the job's id, those of its retries, and what was said."""
    done = subprocess.run(["sh", sbatch.__file__, *arguments], stdin=-3, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    return done.stdout.split()[-1], re.findall(r"\(job (\d+)\)", done.stderr), done.stderr


def ends(jobs: list[str]) -> list[str]:
    """The state of each job once it has ended or vanished; a gate that still runs is waited for."""
    states = ["RUNNING"]
    for _ in range(600):
        states = [state_of(job) for job in jobs]
        if not {"PENDING", "RUNNING", "COMPLETING"} & set(states):
            return states
        time.sleep(0.1)
    pytest.fail(f"still {states} after a minute")


def state_of(job: str) -> str:
    shown = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True).stdout
    return shown.partition(" JobState=")[2].partition(" ")[0] or "gone"


def test_an_out_of_memory_end_starts_the_retry_that_is_enough_and_the_next_vanishes(folder: Path) -> None:
    job, retries, said = submit("--crowd-retry=3", script(folder, mb=220))
    assert "after an out-of-memory end it is tried with 160M" in said
    assert "then 320M" in said
    states = ends([job, *retries])
    # OUT_OF_MEMORY where the kernel kills, FAILED where memory is sampled.
    assert set(states[:2]) <= {"OUT_OF_MEMORY", "FAILED"}
    assert states[2:] == ["COMPLETED", "CANCELLED"]
    tried = [line for line in (folder / "out.txt").read_text().splitlines() if line.startswith("attempt")]
    assert tried == [f"attempt with {mb}" for mb in (80, 160, 320)]


@pytest.mark.parametrize(("status", "state"), [(0, "COMPLETED"), (1, "FAILED"), (9, "FAILED")])
def test_after_any_other_end_the_retries_vanish(status: int, state: str, folder: Path) -> None:
    job, retries, _ = submit("--crowd-retry=2", script(folder, mb=10, status=status))
    assert len(retries) == 2
    assert ends([job, *retries]) == [state, "CANCELLED", "CANCELLED"]


def test_after_a_cancel_the_retries_vanish(folder: Path) -> None:
    job, retries, _ = submit("--crowd-retry=1", "--begin=now+1hour", script(folder, mb=10))
    subprocess.run(["scancel", job], check=True)
    assert ends([job, *retries]) == ["CANCELLED", "CANCELLED"]


def test_a_program_that_is_killed_by_itself_is_no_want_of_memory(folder: Path) -> None:
    (folder / "job.sh").write_text("#!/bin/sh\n#SBATCH --mem=80M -t 1 -o out.txt\nkill -9 $$\n")
    job, retries, _ = submit("--crowd-retry=1", "job.sh")
    assert ends([job, *retries]) == ["FAILED", "CANCELLED"]


def test_a_node_that_fails_is_no_want_of_memory(folder: Path) -> None:
    (folder / "job.sh").write_text("#!/bin/sh\n#SBATCH --mem=80M -t 1 -o out.txt -w node3\nsleep 60\n")
    job, retries, _ = submit("--crowd-retry=1", "--no-requeue", "job.sh")
    for _ in range(300):
        if state_of(job) == "RUNNING":
            break
        time.sleep(0.1)
    subprocess.run(["scontrol", "update", "NodeName=node3", "State=DOWN", "Reason=test"], check=True)
    try:
        assert ends([job, *retries]) == ["NODE_FAIL", "CANCELLED"]
    finally:
        # It may be back by itself (ReturnToService).
        subprocess.run(["scontrol", "update", "NodeName=node3", "State=RESUME"], stderr=-3)


def test_a_retry_that_fails_of_itself_is_not_taken_for_the_attempt_before_it(folder: Path) -> None:
    # Both write to the same file.
    name = script(folder, mb=120, before="[ $SLURM_MEM_PER_NODE -gt 100 ] && exit 1\n")
    job, retries, _ = submit("--crowd-retry=2", name)
    assert ends([job, *retries])[1:] == ["FAILED", "CANCELLED"]


def test_a_step_that_died_for_want_of_memory_counts_where_the_job_failed_of_it(folder: Path) -> None:
    job, retries, _ = submit("--crowd-retry=1", script(folder, mb=120, before="srun "))
    states = ends([job, *retries])
    assert states[0] in ("FAILED", "OUT_OF_MEMORY")
    assert states[1] == "COMPLETED"


def test_a_script_through_a_pipe_is_tried_again_as_it_came(folder: Path) -> None:
    text = (folder / script(folder, mb=120)).read_text()
    done = subprocess.run(["sh", sbatch.__file__, "--crowd-retry=1"], input=text, capture_output=True, text=True)
    retries = re.findall(r"\(job (\d+)\)", done.stderr)
    assert ends([done.stdout.split()[-1], *retries])[1:] == ["COMPLETED"]


def test_the_ladder_of_the_service_and_the_largest_node_are_the_limits(folder: Path, answering: Any) -> None:
    answer = {"line": None, "ladder_mb": [1000.5, 20000.0], "asked": {"mem_mb": 80.0}}
    answering.answers(answer)
    job, retries, said = submit("--crowd-retry=3", "--begin=now+1hour", "--parsable", script(folder, mb=10))
    subprocess.run(["scancel", job, *retries], check=True)
    assert re.search(r"tried with 1001M \(job \d+\), then 6000M \(job \d+\)$", said.strip())


def test_without_the_service_memory_is_doubled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWDRUN_URL", "http://127.0.0.1:9")
    job, retries, said = submit("--crowd-retry=1", "--begin=now+1hour", script(folder, mb=10))
    subprocess.run(["scancel", job, *retries], check=True)
    assert "submitted as written; after an out-of-memory end it is tried with 160M" in said


def test_of_an_array_the_tasks_that_died_for_want_of_memory_are_tried_again(folder: Path) -> None:
    before = "case $SLURM_ARRAY_TASK_ID in 1) exit 0 ;; 2) exit 1 ;; 3) set -- 120 ;; 4) set -- 220 ;; esac\n"
    name = script(folder, mb=0, before=before)
    text = (folder / name).read_text().replace("hold.py 0 0", 'hold.py "$1" 0').replace("out.txt", "out-%a.txt")
    (folder / name).write_text(text)
    job, retries, _ = submit("--crowd-retry=3", "--array=1-4", name)
    for _ in range(600):
        if not subprocess.run(["squeue", "-h", "-j", ",".join([job, *retries])], capture_output=True).stdout.strip():
            break
        time.sleep(0.1)
    tried = [(folder / f"out-{task}.txt").read_text().count("attempt with") for task in (1, 2, 3, 4)]
    assert tried == [1, 1, 2, 3]
    assert [state_of(f"{retries[1]}_4"), state_of(retries[2])] == ["COMPLETED", "CANCELLED"]


def test_a_caller_that_ignores_its_children_gets_one_job_and_its_retry(folder: Path) -> None:
    name = script(folder, mb=10)
    command = f"trap '' CHLD; sh {sbatch.__file__} --crowd-retry=1 --begin=now+1hour {name}"
    ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execvp('sh', sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", ignoring, "sh", "-c", command], stdin=-3, capture_output=True, text=True
    )
    submitted = re.findall(r"Submitted batch job (\d+)", done.stdout)
    retries = re.findall(r"\(job (\d+)\)", done.stderr)
    subprocess.run(["scancel", *submitted, *retries], check=True)
    assert (len(submitted), len(retries)) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--hold",), "no retry with --hold"),
        (("--test-only",), "no retry with --test-only"),
        (("--exclusive",), "no retry with --exclusive"),
        (("--mem=0", "-N1"), "it is not known how much memory the job has"),
    ],
)
def test_where_there_can_be_no_retry_it_says_so(
    arguments: tuple[str, ...], reason: str, folder: Path, answering: Any
) -> None:
    answering.answers({"line": None, "asked": {"mem_mb": None if "--mem=0" in arguments else 80}})
    name = script(folder, mb=1)
    done = subprocess.run(["sh", sbatch.__file__, "--crowd-retry=1", *arguments, name], capture_output=True, text=True)
    assert done.returncode == 0
    assert reason in done.stderr
    if done.stdout:
        subprocess.run(["scancel", done.stdout.split()[-1]], check=True)
