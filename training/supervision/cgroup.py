"""The memory cgroup that this process is in: under Slurm the job step's own, else the container's or the session's.

>>> membership = "4:memory:/box/slurm/job_7\\n0::/\\n"
>>> mounts = "51 47 0:32 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\\n"
>>> own_folder(membership, mounts)
(PosixPath('/sys/fs/cgroup/memory/slurm/job_7'), 1)
>>> own_folder("0::/user.slice\\n", "30 25 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\\n")
(PosixPath('/sys/fs/cgroup/user.slice'), 2)
>>> own_folder("", "") is None
True
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MB = 2**20


@dataclass(frozen=True, kw_only=True)
class CgroupMemory:
    """What the kernel has counted."""

    #: Largest memory held by all in the cgroup, page cache included, MB.
    peak_mb: float | None = None
    #: MB; infinite where there is none.
    limit_mb: float = float("inf")
    #: Times that the kernel killed a process in it for want of memory.
    oom_kills: int = 0


@dataclass(frozen=True, kw_only=True)
class _Files:
    peak: str
    limit: str
    #: Has a line `oom_kill N`.
    events: str


#: Version -> names (Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst of Linux).
_FILES = {
    1: _Files(peak="memory.max_usage_in_bytes", limit="memory.limit_in_bytes", events="memory.oom_control"),
    2: _Files(peak="memory.peak", limit="memory.max", events="memory.events"),
}
#: Version -> file system type in mountinfo.
_TYPES = {1: "cgroup", 2: "cgroup2"}


def cgroup_memory() -> CgroupMemory:
    """The counters; those that cannot be read are unknown."""
    found = own_folder(_read(Path("/proc/self/cgroup")), _read(Path("/proc/self/mountinfo")))
    if found is None:
        return CgroupMemory()
    folder, version = found
    files = _FILES[version]
    limit = _mb(_read(folder / files.limit))
    return CgroupMemory(
        peak_mb=_mb(_read(folder / files.peak)),
        limit_mb=float("inf") if limit is None else limit,
        oom_kills=_oom_kills(_read(folder / files.events)),
    )


def own_folder(membership: str, mounts: str) -> tuple[Path, int] | None:
    """The folder of our memory cgroup and its version, from the texts of /proc/self/cgroup and /proc/self/mountinfo.

    A container often sees only a part of the hierarchy: mountinfo says which (`man 5 proc`, `man 7 cgroups`).
    """
    version, path = _membership(membership)
    found = None
    for root, mount_point in _mounts(mounts, version):
        if PurePosixPath(path).is_relative_to(root):  # a later mount hides those before
            found = Path(mount_point, PurePosixPath(path).relative_to(root)), version
    return found


def _membership(text: str) -> tuple[int, str]:
    """Version 1 where the memory controller is there, else 2, and the path within the hierarchy."""
    unified = "/"
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return 1, path
        if number == "0":
            unified = path
    return 2, unified


def _mounts(text: str, version: int) -> Iterator[tuple[str, str]]:
    """Root and mount point of each mount of the memory hierarchy."""
    for line in text.splitlines():
        fields, _, tail = line.partition(" - ")
        kind, _, options = tail.partition(" ")
        if kind == _TYPES[version] and (version == 2 or "memory" in options.split()[-1].split(",")):
            _, _, _, root, mount_point, *_ = fields.split()
            yield root, mount_point


def _mb(text: str) -> float | None:
    return int(text) / MB if text.strip().isdigit() else None


def _oom_kills(text: str) -> int:
    """
    >>> _oom_kills("oom_kill_disable 0\\nunder_oom 0\\noom_kill 3\\n")
    3
    """
    counts = [line.split()[1] for line in text.splitlines() if line.startswith("oom_kill ")]
    return int(counts[0]) if counts else 0


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
