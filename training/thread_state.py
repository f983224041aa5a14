"""What the kernel says that a thread of this process does: it works, or it waits as for another rank.

Inside native code there is no line of Python to tell. A thread that waits for a message of gloo's sleeps in a futex (a
condition variable that gloo's own thread signals) or in a call that waits for the network; one that computes runs, and
one that waits for a disk or a pipe is in another call (`man 5 proc`, /proc/PID/syscall; `man 2 syscalls`).

>>> waits("202 0x7f88 0x189 0x0", machine="x86_64"), waits("230 0x1 0x1", machine="x86_64")
(True, False)
>>> waits("running", machine="x86_64"), waits("-1 0x7ffc 0x7f88", machine="aarch64")
(False, False)
"""

import platform
from collections.abc import Mapping
from pathlib import Path

#: Machine -> numbers of the calls in which a thread waits for others: futex, poll, select, epoll and receive.
_WAITING_CALLS: Mapping[str, frozenset[str]] = {
    "x86_64": frozenset({"202", "449", "7", "23", "270", "271", "232", "281", "45", "47"}),
    "aarch64": frozenset({"98", "449", "73", "72", "22", "207", "212"}),
}


def thread_waits(thread: int) -> bool | None:
    """Whether a thread of this process, by its native id, waits; None where the kernel does not say."""
    try:
        told = Path(f"/proc/self/task/{thread}/syscall").read_text()
    except OSError:
        return None
    return waits(told, machine=platform.machine())


def waits(told: str, *, machine: str) -> bool | None:
    """The same from the text of the file: `running`, or the number of the call that the thread is in; -1 is none."""
    calls = _WAITING_CALLS.get(machine)
    return None if calls is None or not told else told.split()[0] in calls
