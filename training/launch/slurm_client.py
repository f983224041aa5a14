"""What is asked of Slurm: submit, look, cancel, account. Each a call of its own command and a parse of the answer.

>>> parse_sacct("7|FAILED|1:0|990|1000|1030||\\n7.0|OUT_OF_MEMORY|0:125|990|1001|1030|204800K|cpu=1,mem=204800K\\n")
[SacctRow(job_id='7', state='FAILED', exit_code='1:0', submit_time=990.0, start_time=1000.0, end_time=1030.0, \
mem_mb=None), SacctRow(job_id='7.0', state='OUT_OF_MEMORY', exit_code='0:125', submit_time=990.0, start_time=1001.0, \
end_time=1030.0, mem_mb=200.0)]
"""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crowdrun.data import states
from crowdrun.data.errors import LaunchError
from crowdrun.data.units import memory_mb
from crowdrun.training.planning.topology import NodeCards, parse_gres

#: A command that hangs, as when the controller restarts, is tried again later.
TIMEOUT_S = 60.0
#: Fields without free text, since `sacct -P` does not quote it; MaxRSS is the largest task's, the last field the sum.
FIELDS = ("JobIDRaw", "State", "ExitCode", "Submit", "Start", "End", "MaxRSS", "TRESUsageInTot")


@dataclass(frozen=True, kw_only=True)
class SacctRow:
    """One job or one of its steps."""

    job_id: str
    #: A name of data/states.py.
    state: str | None
    #: CODE:SIGNAL.
    exit_code: str
    submit_time: float | None
    start_time: float | None
    end_time: float | None
    #: Sum over the tasks of each one's largest RSS, MB.
    mem_mb: float | None


def submit(script: Path) -> str:
    """Submit a batch script; its job id.

    Raises:
        LaunchError: Slurm is not there, or refuses it.
    """
    try:
        answer = call(["sbatch", "--parsable", str(script)])
    except FileNotFoundError as error:
        raise LaunchError(
            "there is no sbatch on the PATH; run where Slurm's commands are, or with --on local"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"sbatch gave no answer in {TIMEOUT_S:.0f} s; see 'scontrol ping'") from error
    if answer.returncode != 0:
        raise LaunchError(f"sbatch refused {script}: {answer.stderr.strip()}")
    # --parsable: JOBID, or JOBID;CLUSTER. Site plugins may write lines before it.
    return answer.stdout.strip().splitlines()[-1].partition(";")[0]


def queue_state(job_id: str) -> str | None:
    """The state of a job that is still in the queue; None once it has left, or when Slurm gives no answer."""
    try:
        answer = call(["squeue", "--noheader", "--jobs", job_id, "--format=%T"])
    except (OSError, subprocess.TimeoutExpired):
        return None
    return states.normalise(answer.stdout) if answer.returncode == 0 else None


def account(job_id: str) -> list[SacctRow]:
    """The rows of a job and its steps; none while the database lags behind, or where there is none."""
    command = ["sacct", "--noheader", "--parsable2", "--jobs", job_id, "--format", ",".join(FIELDS)]
    try:
        answer = call(command)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_sacct(answer.stdout) if answer.returncode == 0 else []


def parse_sacct(text: str) -> list[SacctRow]:
    """The rows of an answer made with `FIELDS` and times in epoch seconds."""
    lines = [line.split("|") for line in text.splitlines()]
    return [_row(cells) for cells in lines if len(cells) == len(FIELDS)]


def cancel(job_id: str) -> None:
    """Cancel a job; one that has ended stays as it is."""
    call(["scancel", job_id])


def _row(cells: Sequence[str]) -> SacctRow:
    job_id, state, exit_code, submitted, start, end, largest, total = cells
    summed = re.search(r"\bmem=([^,]+)", total)
    memory = summed[1] if summed else largest
    return SacctRow(
        job_id=job_id,
        state=states.normalise(state),
        exit_code=exit_code,
        submit_time=_epoch(submitted),
        start_time=_epoch(start),
        end_time=_epoch(end),
        mem_mb=memory_mb(memory, bare="B") if memory else None,
    )


def _epoch(text: str) -> float | None:
    return float(text) if text.isdigit() else None


def call(command: list[str], *, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands; it writes times as epoch seconds."""
    environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment)


def nodes_with_cards() -> tuple[NodeCards, ...]:
    """The nodes that have GPUs and are not down, one entry each; none where Slurm does not answer.

    Their links and the memory of a card are not told by Slurm.
    """
    try:
        answer = call(["sinfo", "--Node", "--noheader", "--format=%N|%G|%t"])
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ()
    return parse_sinfo(answer.stdout) if answer.returncode == 0 else ()


def parse_sinfo(text: str) -> tuple[NodeCards, ...]:
    """One entry for each node, though it is listed once a partition.

    >>> text = "n1|gpu:a100:4(S:0-1)|mix\\nn1|gpu:a100:4|mix\\nn2|(null)|idle\\nn3|gpu:2|down*\\n"
    >>> [node.count for node in parse_sinfo(text)]
    [4]
    """
    rows = (line.split("|") for line in text.splitlines())
    counts = {
        row[0]: parse_gres(row[1]) for row in rows if len(row) == 3 and not row[2].startswith(("down", "drain", "fail"))
    }
    return tuple(NodeCards(count=count) for count in counts.values() if count)
