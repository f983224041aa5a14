"""How a job ended: one vocabulary (Slurm's, `man sacct`, JOB STATE CODES) and what each state means for learning.

>>> STATES["OUT_OF_MEMORY"].memory_is_bound, STATES["COMPLETED"].ended
(True, True)
>>> normalise("CANCELLED by 1000"), normalise("oom"), normalise("CA"), normalise("no such state")
('CANCELLED', 'OUT_OF_MEMORY', 'CANCELLED', None)
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class State:
    """What one state says."""

    #: The run is over.
    ended: bool = True
    #: The memory peak is a lower bound of the need: the job was stopped because it wanted more.
    memory_is_bound: bool = False
    #: The run time is a lower bound of the need: the job was stopped before it was done.
    run_time_is_bound: bool = False


STATES: dict[str, State] = {
    "COMPLETED": State(),
    # A program that fails by itself did what it would do again: both figures are taken as measured.
    "FAILED": State(),
    "OUT_OF_MEMORY": State(memory_is_bound=True, run_time_is_bound=True),
    "TIMEOUT": State(run_time_is_bound=True),
    "DEADLINE": State(run_time_is_bound=True),
    "CANCELLED": State(run_time_is_bound=True),
    "PREEMPTED": State(run_time_is_bound=True),
    "REQUEUED": State(run_time_is_bound=True),
    "REVOKED": State(run_time_is_bound=True),
    "NODE_FAIL": State(run_time_is_bound=True),
    "BOOT_FAIL": State(run_time_is_bound=True),
    "PENDING": State(ended=False),
    "RUNNING": State(ended=False),
    "SUSPENDED": State(ended=False),
    "RESIZING": State(ended=False),
}

#: Short codes of `squeue` and names that other schedulers and versions use.
ALIASES: dict[str, str] = {
    "BF": "BOOT_FAIL",
    "CA": "CANCELLED",
    "CD": "COMPLETED",
    "CG": "RUNNING",
    "COMPLETING": "RUNNING",
    "CONFIGURING": "PENDING",
    "DL": "DEADLINE",
    "F": "FAILED",
    "NF": "NODE_FAIL",
    "NODE_FAILED": "NODE_FAIL",
    "OOM": "OUT_OF_MEMORY",
    "OOME": "OUT_OF_MEMORY",
    "PD": "PENDING",
    "PR": "PREEMPTED",
    "R": "RUNNING",
    "REQUEUE_FED": "REQUEUED",
    "REQUEUE_HOLD": "REQUEUED",
    "RQ": "REQUEUED",
    "RS": "RESIZING",
    "RV": "REVOKED",
    "S": "SUSPENDED",
    "SPECIAL_EXIT": "FAILED",
    "STOPPED": "SUSPENDED",
    "TO": "TIMEOUT",
    "ABORTED": "CANCELLED",
    "DONE": "COMPLETED",
    "EXIT": "FAILED",
}


def normalise(text: str) -> str | None:
    """Name of a state in `STATES` for what a log wrote, or None when it is not known."""
    words = text.strip().upper().replace("+", "").split()
    if not words:
        return None
    name = ALIASES.get(words[0], words[0])
    return name if name in STATES else None
