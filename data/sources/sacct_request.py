"""What jobs asked for, from the fields in which the versions of Slurm have written it.

ReqTRES holds the totals of the job (since 15.08). Before 21.08 ReqMem is per node (`4000Mn`) or per CPU (`4Gc`), since
then the total of the job. Some 15.08 to 17.02 databases hold ReqMem with the flag MEM_PER_CPU, bit 31 (slurm.h of that
time), left in: 2147486648Mn is 3000 MB a CPU, which AllocTRES of the same jobs bears out.

>>> reqmem_mb("4000Mn", nodes=2, cpus=8), reqmem_mb("4Gc", nodes=2, cpus=8), reqmem_mb("2.5G", nodes=2, cpus=8)
(8000.0, 32768.0, 2560.0)
>>> reqmem_mb("2147486648Mn", nodes=1, cpus=8), reqmem_mb("0n", nodes=1, cpus=8)
(24000.0, nan)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crowdrun.data.sources import tres
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct_values import Columns, Floats
from crowdrun.data.units import duration_s, memory_mb

PER_CPU_FLAG = 2.0**31
FLAGGED = "ReqMem with the per-CPU flag (bit 31) left in: taken off"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One value a job, totals of the job; NaN or null where the log does not tell."""

    nodes: Floats
    cpus: Floats
    mem_mb: Floats
    gpus: Floats
    gpu_type: pa.Array
    timelimit_s: Floats
    alloc_gpus: Floats


def requested(jobs: Columns, report: ReadReport) -> Request:
    """What each job asked for."""
    asked, given = _TresColumn(jobs, "reqtres"), _TresColumn(jobs, "alloctres")
    nodes = _first(asked("nodes"), jobs.mapped("nnodes", float, np.nan), jobs.mapped("allocnodes", float, np.nan))
    cpus = _first(asked("cpus"), *(jobs.mapped(name, float, np.nan) for name in ("reqcpus", "ncpus", "alloccpus")))
    gres = jobs.mapped("reqgres", lambda text: tres.parse_gres(text)[0] or 0, np.nan)
    alloc_gpus = _first(given("gpus"), jobs.mapped("allocgres", lambda text: tres.parse_gres(text)[0] or 0, np.nan))
    # A job that was given something has an AllocTRES; without GPUs in it, it got none.
    alloc_gpus = np.where(np.isnan(alloc_gpus) & given.filled, 0.0, alloc_gpus)
    gpus = _first(asked("gpus"), gres * np.fmax(nodes, 1))
    # Older versions leave GPUs out of ReqTRES: where some were given, how many were asked for is not known.
    gpus = np.where(np.isnan(gpus) & asked.filled & ~(alloc_gpus > 0), 0.0, gpus)
    return Request(
        nodes=nodes,
        cpus=cpus,
        mem_mb=_first(asked("mem_mb"), _reqmem(jobs, nodes, cpus, report)),
        gpus=gpus,
        gpu_type=pc.coalesce(asked.text("gpu_type"), _gres_type(jobs)),
        timelimit_s=_first(*(jobs.mapped(name, _limit_s, np.nan) for name in ("timelimit", "timelimitraw"))),
        alloc_gpus=alloc_gpus,
    )


def reqmem_mb(text: str, *, nodes: float, cpus: float) -> float:
    """Total MB of ReqMem; NaN for 0, which asks for all that the node has.

    Raises:
        ValueError: not a size.
    """
    suffix = text[-1:].lower()
    size = memory_mb(text[:-1] if suffix in {"n", "c"} else text)
    if size >= PER_CPU_FLAG:
        size, suffix = size - PER_CPU_FLAG, "c"
    if size == 0 or size >= PER_CPU_FLAG:
        return math.nan
    return size * {"n": nodes, "c": cpus}.get(suffix, 1.0)


def _reqmem(jobs: Columns, nodes: Floats, cpus: Floats, report: ReadReport) -> Floats:
    # One node, one CPU: the size itself; then times what it is counted by.
    size = jobs.mapped("reqmem", lambda text: reqmem_mb(text, nodes=1, cpus=1), np.nan)
    flagged = jobs.mapped("reqmem", _is_flagged, False)
    report.repaired[FLAGGED] += int(flagged.sum())
    per_node = jobs.mapped("reqmem", lambda text: text[-1:].lower() == "n", False) & ~flagged
    per_cpu = jobs.mapped("reqmem", lambda text: text[-1:].lower() == "c", False) | flagged
    return np.where(per_node, size * nodes, np.where(per_cpu, size * cpus, size))


def _is_flagged(text: str) -> bool:
    size = memory_mb(text.rstrip("ncNC"))
    return PER_CPU_FLAG <= size < 2 * PER_CPU_FLAG


def _limit_s(text: str) -> float:
    limit = duration_s(text)
    return math.nan if limit is None else limit


class _TresColumn:
    """One column of TRES strings."""

    def __init__(self, jobs: Columns, name: str) -> None:
        self._jobs, self._name = jobs, name

    def __call__(self, resource: str) -> Floats:
        return self._jobs.mapped(self._name, self._getter(resource), np.nan)

    def text(self, resource: str) -> pa.Array:
        values = self._jobs.mapped(self._name, lambda text: getattr(tres.parse(text), resource), np.array(None, object))
        return pa.array(values, pa.string())

    @property
    def filled(self) -> NDArray[np.bool_]:
        return self._jobs.mapped(self._name, bool, False)

    def _getter(self, resource: str) -> Callable[[str], float]:
        def get(text: str) -> float:
            value = getattr(tres.parse(text), resource)
            return math.nan if value is None else float(value)

        return get


def _gres_type(jobs: Columns) -> pa.Array:
    return pa.array(jobs.mapped("reqgres", lambda text: tres.parse_gres(text)[1], np.array(None, object)), pa.string())


def _first(*choices: Floats) -> Floats:
    result = choices[0]
    for choice in choices[1:]:
        result = np.where(np.isnan(result), choice, result)
    return result
