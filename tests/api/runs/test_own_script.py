"""`crowdrun run` inside a user's own batch script, on the real Slurm."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crowdrun.api.cli import main

TASK = Path(__file__).parents[2] / "training" / "kill_task.py"
JOB = f"""
name = "in-a-script"
task = "{TASK}"
epochs = 3
batch_size = 8
learning_rate = 0.01
[checkpoint]
every_steps = 3
[resources]
mem_mb = 2000
"""
SCRIPT = """#!/bin/bash
#SBATCH --array=0-1 --requeue --open-mode=append --signal=B:USR1@60
#SBATCH --mem=2200M --cpus-per-task=1 --output={folder}/task-%a.out --chdir={folder}
export CROWDRUN_HOME={folder}/home STEP_S=0.4 OMP_NUM_THREADS=1
exec {python} -P -m crowdrun.api run --no-predict job.toml
"""
Record = dict[str, Any]


def records(home: Path) -> dict[str, Record]:
    """The newest record of each run, by the job that runs it."""
    found = {}
    for folder in home.glob("runs/*"):
        file = next((folder / name for name in ("outcome.json", "plan.json") if (folder / name).exists()), None)
        if file:
            told = json.loads(file.read_text())
            found[told["slurm_job"]["job_id"] if told["slurm_job"] else ""] = told
    return found


def saved(home: Path, job: str) -> bool:
    told = records(home).get(job)
    return bool(told) and any(home.glob(f"runs/{told['run_id']}/checkpoints/step-*/committed.json"))


def until(what: Callable[[], bool], folder: Path, limit_s: float = 240) -> None:
    end = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end, [file.read_text() for file in folder.glob("task-*.out")]
        time.sleep(0.5)


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def figures(record: Record) -> tuple[list[float], Record]:
    return [line["loss"] for line in record["result"]["history"]], record["result"]["scores"]


def test_the_run_of_a_job_that_is_done_is_left_as_it_is_when_slurm_starts_the_script_again(
    crowdrun_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = crowdrun_home / "runs" / "20260102T000000Z-lenet-1111"
    (folder / "attempt-1").mkdir(parents=True)
    names = ("start_time", "end_time", "peak_mem_mb", "peak_gpu_mem_mb")
    ended = {"outcome": dict.fromkeys(names, 1.0) | {"state": "COMPLETED"}, "cause": None}
    record = {
        "run_id": folder.name,
        "request": {"job_name": "lenet", "user": "ada", "model": "lenet"},
        "slurm_job": {"cluster": "", "job_id": "7_1", "restarts": 0},
        "attempts": [ended],
    }
    (folder / "outcome.json").write_text(json.dumps(record))
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    own = {"JOB_ID": "7", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "1", "RESTART_COUNT": "1"}
    for name, value in own.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(SystemExit) as left:
        main(["run", "--no-predict", "lenet"])
    assert not left.value.code
    assert f"{folder.name}, the run of this job, is done" in capfd.readouterr().err


@pytest.mark.slurm
def test_each_task_of_an_array_goes_on_with_its_own_run_after_it_was_requeued(slurm: str, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(JOB)
    script = tmp_path / "array.sh"
    script.write_text(SCRIPT.format(folder=tmp_path, python=sys.executable))
    array = ask("sbatch", "--parsable", str(script)).strip()
    # Meanwhile, and outside Slurm: the same without a break.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    whole = [sys.executable, "-P", "-m", "crowdrun.api", "run", "--no-predict", "--json", "whole.json", "job.toml"]
    subprocess.run(
        whole, cwd=tmp_path, env=alone | {"CROWDRUN_HOME": str(tmp_path / "whole")}, timeout=240, capture_output=True
    )
    home, tasks = tmp_path / "home", (f"{array}_0", f"{array}_1")
    until(lambda: all(saved(home, task) for task in tasks), tmp_path)
    ask("scancel", "--batch", "--signal=USR1", tasks[0])  # as Slurm does some time before the end
    ask("scontrol", "requeue", tasks[1])  # as an administrator does
    until(lambda: all(records(home)[task].get("result") for task in tasks), tmp_path)
    told = records(home)
    assert set(told) == set(tasks)
    assert told[tasks[0]]["run_id"] != told[tasks[1]]["run_id"]
    ends = [[attempt["outcome"]["state"] for attempt in told[task]["attempts"]] for task in tasks]
    assert ends[0] == ["PREEMPTED", "COMPLETED"], (tmp_path / "task-0.out").read_text()
    # Slurm kills what has not left in KillWait: a few seconds, on some clusters.
    assert (len(ends[1]), ends[1][-1]) == (2, "COMPLETED"), (tmp_path / "task-1.out").read_text()
    assert [told[task]["slurm_job"]["restarts"] for task in tasks] == [1, 1]
    without = figures(json.loads((tmp_path / "whole.json").read_text()))
    assert [figures(told[task]) for task in tasks] == [without, without]
