"""What a tree of processes holds now, and the peaks of a run.

Memory is the sum of the proportional set sizes (PSS, `man 5 proc`, smaps_rollup): a page that n processes share counts
1/n in each, so the sum counts it once, as a memory cgroup does. The sum of the resident set sizes (RSS), which Slurm's
jobacct_gather/linux adds up, counts it n times: data-loader workers forked from a process that holds 2 GB of samples
would each be charged 2 GB. It is kept beside (`rss_mb`), and stands in for a process whose PSS may not be read.

Both are sampled: a peak shorter than the interval can be missed. The kernel's own high-water mark of the largest single
process (`getrusage`, ru_maxrss) is exact and is taken where it is above the samples.
"""

import resource
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

MB = 2**20


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at the tree."""

    #: Since the start of the run.
    time_s: float
    mem_mb: float
    rss_mb: float
    processes: int


def sample(root: psutil.Process, *, time_s: float, without: Collection[int] = ()) -> Sample:
    """What `root` and all its descendants hold together, leaving out the process ids in `without`.

    The root is the supervisor, some 10 MB: a scheduler charges it to the job too.
    """
    mem = rss = count = 0
    for process in (root, *root.children(recursive=True)):
        if process.pid in without:
            continue
        try:
            held, resident = _memory(process)
        except psutil.NoSuchProcess:  # it ended since the list was made; a zombie is one of these
            continue
        mem, rss, count = mem + held, rss + resident, count + 1
    return Sample(time_s=round(time_s, 3), mem_mb=round(mem / MB, 2), rss_mb=round(rss / MB, 2), processes=count)


def _memory(process: psutil.Process) -> tuple[int, int]:
    """PSS and RSS, bytes."""
    try:
        figures = process.memory_full_info()
        return getattr(figures, "pss", figures.rss), figures.rss
    except psutil.AccessDenied:  # it runs as somebody else
        rss = process.memory_info().rss
        return rss, rss


def largest_child_mb() -> float:
    """The high-water mark of the largest process that ended below this one, MB; 0 where it says nothing.

    A new process starts with the mark of the one that forked it (`man 2 getrusage`; kernel/fork.c, fs/exec.c), so a
    figure not above our own says nothing of the child.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return children if children > _own_mark_mb() else 0.0


def _own_mark_mb() -> float:
    """VmHWM of this process: unlike ru_maxrss, it does not go back to before our own `exec`."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), float("inf"))
