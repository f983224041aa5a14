"""A training that is really run, and kills of what belongs to it: for the test of a few and the bench of many."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import psutil

from crowdrun.data.task import TrainingOptions
from crowdrun.training.checkpoints.folder import FOLDER, MARKER_FILE, newest
from crowdrun.training.checkpoints.options import CheckpointOptions
from crowdrun.training.job import Job, TaskSpec
from crowdrun.training.launch.base import Attempt
from crowdrun.training.launch.local import LocalLauncher
from crowdrun.training.runs.attempts import Listener, run_job
from crowdrun.training.runs.records import AttemptRecord, RunRecord

#: The module of the supervisor.
SUPERVISE = "crowdrun.training.supervision.supervise"
TASK = str(Path(__file__).with_name("kill_task.py"))
EVERY_STEPS = 3


def job(work_dir: Path, *, ranks: int = 2, epochs: int = 6, hang_s: float = 600.0) -> Job:
    """48 steps, a checkpoint after each third."""
    task = TaskSpec(
        target=TASK,
        options=TrainingOptions(epochs=epochs, batch_size=8, learning_rate=0.01),
        checkpoint=CheckpointOptions(every_s=None, every_steps=EVERY_STEPS),
        hang_s=hang_s,
    )
    return Job(name="kills", command=("crowdrun", "run"), work_dir=work_dir, ranks=ranks, task=task)


def train(
    folder: Path, job: Job, *, listener: Listener | None = None, resume: Path | None = None, **environment: str
) -> RunRecord:
    """Run it to its end on this machine."""
    before = dict(os.environ)
    os.environ.update({"OMP_NUM_THREADS": "1", **environment})
    try:
        return run_job(
            job,
            LocalLauncher(),
            runs_dir=folder,
            recommend=lambda _: None,
            keep=lambda request, outcome: None,
            listener=listener,
            resume=resume,
        )
    finally:
        os.environ.clear()
        os.environ.update(before)


class Killer(Listener):
    """Kills something in each of the first attempts, a few steps after it went on: one of KINDS each."""

    def __init__(self, *kinds: str, seed: int = 0) -> None:
        self._kinds, self._random = list(kinds), random.Random(seed)
        #: The step of the newest checkpoint at each kill.
        self.killed_at: list[int] = []
        self._thread: threading.Thread | None = None

    def started(self, attempt: Attempt) -> None:
        if self._kinds:
            self._thread = threading.Thread(target=self._kill, args=(attempt, self._kinds.pop(0)), daemon=True)
            self._thread.start()

    def ended(self, attempt: AttemptRecord) -> None:
        if self._thread:
            self._thread.join()
            self._thread = None

    def _kill(self, attempt: Attempt, kind: str) -> None:
        checkpoints = attempt.folder.parent / FOLDER
        wanted = _step(checkpoints) + self._random.randint(1, 15)
        while _step(checkpoints) < wanted:
            time.sleep(0.005)
        if kind == "in a save":
            while not _saving(checkpoints):
                time.sleep(0.0005)
        else:
            time.sleep(self._random.random() * 0.15)
        self.killed_at.append(_step(checkpoints))
        for process, number in KINDS[kind](attempt, self._random):
            process.send_signal(number)


def _step(checkpoints: Path) -> int:
    found = newest(checkpoints)
    return found[1].step if found else 0


def _saving(checkpoints: Path) -> bool:
    return any(not (folder / MARKER_FILE).exists() for folder in checkpoints.glob("step-*"))


Aim = list[tuple[psutil.Process, int]]


def _named(module: str) -> list[psutil.Process]:
    own = psutil.Process().children(recursive=True)
    return [process for process in own if module in _command(process)]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _ranks() -> list[psutil.Process]:
    return [p for p in _named("crowdrun.training.worker") if "torch.distributed.run" not in _command(p)]


def _one_rank(number: int) -> Callable[[Attempt, random.Random], Aim]:
    return lambda attempt, chance: [(chance.choice(_ranks()), number)]


def _agent(attempt: Attempt, chance: random.Random) -> Aim:
    agents = [p for p in _named("torch.distributed.run") if SUPERVISE not in _command(p)]
    return [(agents[0], signal.SIGKILL)]


def _supervisor(attempt: Attempt, chance: random.Random) -> Aim:
    return [(_named(SUPERVISE)[0], signal.SIGKILL)]


#: What is killed, and by what.
KINDS: Mapping[str, Callable[[Attempt, random.Random], Aim]] = {
    "a rank, SIGKILL": _one_rank(signal.SIGKILL),
    "a rank, SIGTERM": _one_rank(signal.SIGTERM),
    "in a save": _one_rank(signal.SIGKILL),
    "the agent": _agent,
    "the supervisor": _supervisor,
}


def told(record: RunRecord) -> tuple[object, object]:
    """What must be the same with and without kills: losses of all epochs, and scores."""
    result = record.result or {}
    return [line["loss"] for line in result.get("history", [])], result.get("scores")


def first_step(folder: Path) -> int:
    """At which step an attempt went on, out of its output."""
    for line in (folder / "output-0.log").read_text().splitlines():
        if "going on from" in line:
            return int(line.split("step-")[1].split(":")[0])
    return 0


def without_checkpoints(job: Job) -> Job:
    """The same, that nothing is kept of."""
    assert job.task
    return replace(job, task=replace(job.task, checkpoint=None))
