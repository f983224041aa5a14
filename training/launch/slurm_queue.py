"""What waits and runs in Slurm now, as `squeue` tells it: what a wait is told from.

>>> text = "PENDING|ada|gpu|1700000000|N/A|2:00:00|cpu=8,mem=64G,node=1,billing=8,gres/gpu=2|\\n"
>>> parse_squeue(text)
[QueuedJob(user='ada', partition='gpu', submit_time=1700000000.0, start_time=None, req_nodes=1.0, req_cpus=8.0, \
req_gpus=2.0, timelimit_s=7200.0)]
"""

import subprocess

from crowdrun.data import states
from crowdrun.data.errors import LaunchError
from crowdrun.data.queue_state import QueuedJob
from crowdrun.data.sources import tres
from crowdrun.data.units import duration_s
from crowdrun.training.launch.slurm_client import call

#: A person waits for the answer, and a busy controller may take its time.
TIMEOUT_S = 10.0
#: Fields without free text. With a suffix, `squeue` does not cut them at 20 characters.
FIELDS = ("State", "UserName", "Partition", "SubmitTime", "StartTime", "TimeLimit", "tres-alloc")
_COMMAND = [
    "squeue", "--noheader", "--all", "--array", "--states=PENDING,CONFIGURING,RUNNING,SUSPENDED",
    "--Format", ",".join(f"{name}:|" for name in FIELDS),
]  # fmt: skip


def waiting_and_running() -> list[QueuedJob]:
    """Every job that waits or runs, each task of an array by itself.

    Held jobs and those that wait for another count as waiting, as they do in the logs that a wait is learnt from.

    Raises:
        LaunchError: Slurm is not there, or gives no answer.
    """
    try:
        answer = call(_COMMAND, timeout_s=TIMEOUT_S)
    except FileNotFoundError as error:
        raise LaunchError(
            "there is no squeue on the PATH; ask where Slurm's commands are, or leave --queue out"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"squeue gave no answer in {TIMEOUT_S:.0f} s; see 'scontrol ping'") from error
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["it does not say why"])[-1]
        raise LaunchError(f"squeue failed: {reason}; see 'scontrol ping', or leave --queue out")
    return parse_squeue(answer.stdout)


def parse_squeue(text: str) -> list[QueuedJob]:
    """The jobs of an answer made with `FIELDS` and times in epoch seconds; lines of another shape are passed over."""
    lines = (line.split("|") for line in text.splitlines())
    return [_job(cells) for cells in lines if len(cells) == len(FIELDS) + 1 and cells[3].isdigit()]


def _job(cells: list[str]) -> QueuedJob:
    state, user, partition, submitted, started, limit, resources, _ = cells
    wanted = tres.parse(resources)
    # A pending job's start is Slurm's own guess.
    waits = states.normalise(state) == "PENDING"
    return QueuedJob(
        user=user,
        # A job may be sent to several partitions, and runs in the first that takes it.
        partition=partition.partition(",")[0],
        submit_time=float(submitted),
        start_time=float(started) if started.isdigit() and not waits else None,
        req_nodes=float(wanted.nodes or 1),
        req_cpus=float(wanted.cpus or 1),
        req_gpus=float(wanted.gpus or 0),
        timelimit_s=_limit_s(limit),
    )


def _limit_s(text: str) -> float | None:
    try:
        return duration_s(text)
    except ValueError:
        return None
