"""What a PBS job asked for: the `Resource_List` of Torque and of PBS Professional as totals of the job.

>>> total_request({"nodes": "2:ppn=8:gpus=2", "pmem": "2gb", "walltime": "01:00:00"})
Request(nodes=2, cpus=16, gpus=4, gpu_type=None, mem_mb=32768.0, timelimit_s=3600.0)
>>> total_request({"select": "2:ncpus=4:mem=8gb:ngpus=1+1:ncpus=2"})
Request(nodes=3, cpus=10, gpus=2, gpu_type=None, mem_mb=16384.0, timelimit_s=None)
>>> size_mb("4gb"), size_mb("2mw"), size_mb("1048576")
(4096.0, 16.0, 1.0)
>>> walltime_s("200:00:00"), walltime_s("90")
(720000.0, 90.0)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crowdrun.data.units import memory_mb

Resources = Mapping[str, str]

_TIME_FACTORS_S = (1.0, 60.0, 3600.0, 86400.0)
_CPUS = ("ncpus", "ppn")
_GPUS = ("ngpus", "gpus")
_GPU_TYPES = ("gpu_type", "gpu_model", "accelerator_model")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Totals of the job; None where the log does not say."""

    nodes: int | None
    cpus: int | None
    gpus: int | None
    gpu_type: str | None
    mem_mb: float | None
    timelimit_s: float | None


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """`count` times the same set of resources."""

    count: int
    resources: Resources


def size_mb(text: str) -> float:
    """MB of 2^20 bytes of a PBS size (pbs_resources(7)): a number, k, m, g, t or p, and b for bytes or w for words.

    A word is 8 bytes, a bare number is bytes.

    Raises:
        ValueError: not a size.
    """
    if text[-1:].lower() == "w":
        return memory_mb(f"{text[:-1]}b", bare="B") * 8
    return memory_mb(text, bare="B")


def walltime_s(text: str) -> float:
    """Seconds of [[[DD:]HH:]MM:]SS; a bare number is seconds.

    Raises:
        ValueError: not a PBS time.
    """
    parts = text.split(":")
    if len(parts) > len(_TIME_FACTORS_S):
        raise ValueError(f"time {text!r} has more parts than DD:HH:MM:SS")
    return sum(float(part) * factor for part, factor in zip(reversed(parts), _TIME_FACTORS_S, strict=False))


def chunks(spec: str) -> list[Chunk]:
    """The sets of `2:ncpus=4:mem=8gb+1:ncpus=2` (select) or `1:ppn=8:dc2+node7:ppn=4` (nodes)."""
    result = []
    for part in spec.split("#")[0].split("+"):
        first, *rest = part.split(":")
        if "=" in first:
            rest.insert(0, first)
        pairs = (item.partition("=") for item in rest)
        count = int(first) if first.isascii() and first.isdigit() and len(first) < 10 else 1
        result.append(Chunk(count=count, resources={key: value for key, sign, value in pairs if sign}))
    return result


def total_request(resources: Resources) -> Request:
    """The totals of the job.

    Host memory is the first that is given of: `mem` (total); `mem` of the select chunks x their counts; `pmem` x CPUs;
    `vmem` (total); `pvmem` x CPUs. Physical comes before virtual memory, since the measured peak is physical; many
    sites set only vmem, and then that is the memory that was held.

    Raises:
        ValueError: a number, size or time that cannot be read.
    """
    spec = resources.get("select") or resources.get("nodes")
    sets = chunks(spec) if spec else []
    cpus = _largest(_sum(sets, _CPUS), resources, ("ncpus", "procs"))
    return Request(
        nodes=sum(chunk.count for chunk in sets) or _largest(None, resources, ("nodect",)),
        cpus=cpus,
        gpus=_largest(_sum(sets, _GPUS), resources, _GPUS),
        gpu_type=_gpu_type(resources, sets),
        mem_mb=_memory_mb(resources, sets, cpus or 1),
        timelimit_s=walltime_s(resources["walltime"]) if resources.get("walltime") else None,
    )


def _sum(sets: list[Chunk], names: tuple[str, ...]) -> int | None:
    """Total of a counted resource over the chunks; a node without `ppn` or `ncpus` is one CPU."""
    default = "1" if names == _CPUS else "0"
    total = sum(
        chunk.count * int(next((chunk.resources[name] for name in names if name in chunk.resources), default))
        for chunk in sets
    )
    return total or None


def _largest(known: int | None, resources: Resources, names: tuple[str, ...]) -> int | None:
    found = [int(resources[name]) for name in names if resources.get(name)]
    return max([*found, *([known] if known else [])], default=None)


def _gpu_type(resources: Resources, sets: list[Chunk]) -> str | None:
    everywhere = [resources, *(chunk.resources for chunk in sets)]
    return next((found[name] for name in _GPU_TYPES for found in everywhere if found.get(name)), None)


def _memory_mb(resources: Resources, sets: list[Chunk], cpus: int) -> float | None:
    def given(name: str) -> Callable[[], float | None]:
        return lambda: size_mb(resources[name]) if resources.get(name) else None

    def of_each(name: str) -> Callable[[], float | None]:
        return lambda: size_mb(resources[name]) * cpus if resources.get(name) else None

    def of_chunks() -> float | None:
        return (
            sum(chunk.count * size_mb(chunk.resources["mem"]) for chunk in sets if chunk.resources.get("mem")) or None
        )

    order = (given("mem"), of_chunks, of_each("pmem"), given("vmem"), of_each("pvmem"))
    return next((value for rule in order if (value := rule()) is not None), None)
