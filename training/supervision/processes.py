"""No process of a run outlives it: orphans are adopted, trees are killed to the last one.

A rank that torchrun starts is in a session of its own, and a program may fork twice to become a daemon, so neither the
process group nor the parent is enough. The supervisor makes itself the "child subreaper" (`man 2 prctl`): whatever
loses its parent below it becomes its own child. Each process of a run also carries the run's mark in its environment,
by which `sweep` finds those whose supervisor was killed.
"""

import ctypes
import os
import sys
import time
from collections.abc import Collection, Iterable

import psutil

#: Environment variable that marks the processes of an attempt.
MARK = "CROWDRUN_ATTEMPT"

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_KILL_ROUNDS = 100
_PAUSE_S = 0.02
_SEE_OFF_PAUSE_S = 0.5


def adopt_orphans() -> None:
    """Make this process the parent of all below it that lose theirs. Linux only; elsewhere the mark has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(without: Collection[int] = ()) -> None:
    """SIGKILL all processes below this one, those too that are forked meanwhile; returns when none is left."""
    own = psutil.Process()
    for _ in range(_KILL_ROUNDS):
        alive = [process for process in own.children(recursive=True) if process.pid not in without and _runs(process)]
        if not alive:
            return
        _kill(alive)
        time.sleep(_PAUSE_S)


def sweep(mark: str) -> int:
    """SIGKILL all processes that carry the mark of an attempt; returns how many there were."""
    swept: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        marked = [process for process in psutil.process_iter() if _mark(process) == mark]
        if not marked:
            break
        swept |= {process.pid for process in marked}
        _kill(marked)
        time.sleep(_PAUSE_S)
    return len(swept)


def see_off(mark: str, *, patience_s: float) -> int:
    """Wait until no process carries the mark of an attempt whose runner was killed: its ranks still save.

    Those that are there after so long are killed; returns how many.
    """
    end = time.monotonic() + patience_s
    while time.monotonic() < end and any(_mark(process) == mark for process in psutil.process_iter()):
        time.sleep(_SEE_OFF_PAUSE_S)
    return sweep(mark)


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mark(process: psutil.Process) -> str | None:
    if process.pid == os.getpid():
        return None
    try:
        return process.environ().get(MARK) if _runs(process) else None
    except (psutil.Error, OSError):  # somebody else's, or gone
        return None
