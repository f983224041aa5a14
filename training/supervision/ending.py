"""How a run ended: from what was seen to a state of `data/states.py`.

>>> how_it_ended(0, 0, stopped_for=None, oom_kills=0, output="").state
'COMPLETED'
>>> how_it_ended(1, 0, stopped_for=None, oom_kills=1, output="").cause
'killed by the kernel for want of memory'
>>> how_it_ended(1, 0, stopped_for=None, oom_kills=0, output="RuntimeError: CUDA error: out of memory").state
'FAILED'
>>> slurm_ending("FAILED", ["FAILED", "CANCELLED"], "slurmstepd: error: Job 7 exceeded memory limit (369 > 200)").state
'OUT_OF_MEMORY'
"""

import signal
from collections.abc import Iterable
from dataclasses import dataclass

MEMORY_LIMIT = "stopped at the memory limit"
TIME_LIMIT = "stopped at the time limit"
CANCELLED = "cancelled"
KERNEL_OOM = "killed by the kernel for want of memory"
REFUSED = "the machine refused memory"
GPU_OOM = "out of GPU memory"
FAILED = "failed by itself"
LOST = "its supervisor was killed"
RUNNER_LOST = "its runner was killed"
KILLED = "one of its processes was killed"
SAVED = "told to stop, with all saved"

#: Cause -> state. Want of GPU memory is FAILED: OUT_OF_MEMORY is a bound on host memory.
STATES_OF_CAUSES = {
    MEMORY_LIMIT: "OUT_OF_MEMORY",
    TIME_LIMIT: "TIMEOUT",
    CANCELLED: "CANCELLED",
    KERNEL_OOM: "OUT_OF_MEMORY",
    REFUSED: "OUT_OF_MEMORY",
    GPU_OOM: "FAILED",
    FAILED: "FAILED",
    LOST: "FAILED",
    RUNNER_LOST: "CANCELLED",
    KILLED: "FAILED",
    SAVED: "PREEMPTED",
}

#: Causes that lie outside the program: the same again may well come to its end.
FROM_OUTSIDE = frozenset({LOST, RUNNER_LOST, KILLED, SAVED})

#: Causes that say what the run lacked, more than that it was stopped.
WANTS = frozenset({MEMORY_LIMIT, KERNEL_OOM, REFUSED, GPU_OOM})

#: What programs write when they die for want of memory; the first that is found names the cause.
PHRASES: tuple[tuple[str, str], ...] = (
    ("CUDA out of memory", GPU_OOM),
    ("torch.OutOfMemoryError", GPU_OOM),
    ("CUDA error: out of memory", GPU_OOM),
    ("CUBLAS_STATUS_ALLOC_FAILED", GPU_OOM),
    ("DefaultCPUAllocator: can't allocate memory", REFUSED),  # c10/core/impl/alloc_cpu.cpp
    ("DefaultCPUAllocator: not enough memory", REFUSED),
    ("MemoryError", REFUSED),  # Python; numpy's _ArrayMemoryError ends in it too
    ("std::bad_alloc", REFUSED),
    ("Cannot allocate memory", REFUSED),  # ENOMEM
    ("(SIGKILL) received by PID", KILLED),  # torch/distributed/elastic/multiprocessing/errors
    ("(SIGTERM) received by PID", KILLED),
)

#: Signals that come from outside.
_KILLING = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP})

#: What slurmstepd writes, each where there is no cgroup (OverMemoryKill) or where there is one.
SLURM_PHRASES: tuple[tuple[str, str], ...] = (
    ("exceeded memory limit", MEMORY_LIMIT),
    ("Exceeded job memory limit", MEMORY_LIMIT),
    ("oom-kill event", KERNEL_OOM),
    ("oom_kill event", KERNEL_OOM),
)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How it ended; `cause` is None for a run that completed."""

    state: str
    cause: str | None = None


def _because(cause: str) -> Ending:
    # A rank that hangs is named in its cause.
    return Ending(state=STATES_OF_CAUSES.get(cause, "FAILED"), cause=cause)


def how_it_ended(code: int, signal_number: int, *, stopped_for: str | None, oom_kills: int, output: str) -> Ending:
    """The ending of a run that we watched.

    code, signal_number: of the command. stopped_for: the cause, where it was we who stopped it. oom_kills: processes
    that the kernel killed in our cgroup meanwhile. output: the end of what it wrote.
    """
    if stopped_for:
        return _because(stopped_for)
    if code == 0 and signal_number == 0:
        return Ending(state="COMPLETED")
    if oom_kills:
        return _because(KERNEL_OOM)
    return _because(_named(output, PHRASES) or (KILLED if signal_number in _KILLING else FAILED))


def slurm_ending(state: str, steps: Iterable[str], output: str, seen: Iterable[str] = ()) -> Ending:
    """The ending of a Slurm job: its state, those of its steps, what Slurm wrote, the causes that we saw on its nodes.

    A step can die out of memory while its job says FAILED, or even COMPLETED when the script goes on.
    """
    if "OUT_OF_MEMORY" in (state, *steps):
        return _because(KERNEL_OOM)
    if state != "FAILED":
        causes = {ended: cause for cause, ended in STATES_OF_CAUSES.items() if cause in (TIME_LIMIT, CANCELLED)}
        return Ending(state=state, cause=causes.get(state))
    told = list(seen)
    wants = [cause for cause in told if cause in WANTS] or [cause for cause in told if cause != FAILED]
    return _because(_named(output, SLURM_PHRASES) or (wants or [FAILED])[0])


def _named(output: str, phrases: Iterable[tuple[str, str]]) -> str | None:
    return next((cause for phrase, cause in phrases if phrase in output), None)


def shell_status(code: int, signal_number: int) -> int:
    """The exit status as a shell gives it: 128 + the signal.

    >>> shell_status(3, 0), shell_status(0, 9)
    (3, 137)
    """
    return 128 + signal_number if signal_number else code
