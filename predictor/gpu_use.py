"""How many of the GPUs that jobs held they kept busy: said beside the count, so that who holds four and uses one knows.

>>> use = GpuUse()
>>> for hours in (2.0, 4.0):
...     use.observe([("user", "name"), None], gpus=4.0, utilisation=0.25, hours=hours)
>>> use.of(("user", "name"))
Used(jobs=2, busy=1.0, idle_gpuh=9.0)
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crowdrun.data.errors import ModelError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.explanation.evidence import FIRST_UNRELATED
from crowdrun.predictor.history import Key, keys_of

USE_FILE = "gpu_use.json"
#: Of a long log, so many of the newest jobs with GPUs.
NEWEST = 20_000


@dataclass(frozen=True, slots=True)
class Used:
    """What jobs with something in common used of the GPUs that they held."""

    jobs: int
    #: GPUs kept busy: utilisation times GPUs held, mean over the jobs.
    busy: float
    #: GPU·h that stood idle in a job, mean.
    idle_gpuh: float


class GpuUse:
    """The sums of each key of each relation that is evidence."""

    def __init__(self) -> None:
        #: Key -> jobs, GPUs busy, GPU·h idle.
        self._sums: dict[Key, list[float]] = {}

    @classmethod
    def of_log(cls, jobs: pd.DataFrame) -> "GpuUse":
        """That of a job history (canonical columns), of its newest jobs."""
        use = cls()
        if {"gpu_util", "alloc_gpus", "end_time", "start_time"} <= set(jobs.columns):
            known = jobs[jobs["gpu_util"].notna() & (jobs["alloc_gpus"] >= 1) & jobs["end_time"].notna()]
            for row in known.sort_values("end_time", kind="stable").tail(NEWEST).to_dict("records"):
                use.observe_job({str(name): value for name, value in row.items()})
        return use

    def observe_job(self, job: Mapping[str, Any]) -> None:
        """One job that ended (canonical columns), if it tells its use."""
        gpus, utilisation = _number(job.get("alloc_gpus")), _number(job.get("gpu_util"))
        start, end = _number(job.get("start_time")), _number(job.get("end_time"))
        if gpus and utilisation is not None and start is not None and end is not None:
            keys = keys_of(JobRequest.from_mapping(job))[:FIRST_UNRELATED]
            self.observe(keys, gpus=gpus, utilisation=utilisation, hours=max(end - start, 0.0) / 3600)

    def observe(self, keys: Sequence[Key | None], *, gpus: float, utilisation: float, hours: float) -> None:
        """One job; keys of its relations, closest first, None where it lacks what would be in common."""
        for key in keys:
            if key is not None:
                sums = self._sums.setdefault(key, [0.0, 0.0, 0.0])
                sums[0] += 1
                sums[1] += gpus * utilisation
                sums[2] += gpus * (1 - utilisation) * hours

    def of(self, key: Key | None) -> Used | None:
        """None where no job with this key told its use."""
        sums = self._sums.get(key) if key is not None else None
        if sums is None:
            return None
        jobs, busy, idle = sums
        return Used(jobs=int(jobs), busy=busy / jobs, idle_gpuh=idle / jobs)

    def save(self, folder: Path) -> None:
        """Write USE_FILE into the folder."""
        table = [[list(key), sums] for key, sums in self._sums.items()]
        (folder / USE_FILE).write_text(json.dumps(table, separators=(",", ":")), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "GpuUse":
        """What `save` wrote; empty where a model was published without it.

        Raises:
            ModelError: it cannot be read.
        """
        use, file = cls(), folder / USE_FILE
        if file.exists():
            try:
                for key, sums in json.loads(file.read_text("utf-8")):
                    use._sums[tuple(tuple(part) if isinstance(part, list) else part for part in key)] = sums
            except (OSError, ValueError, TypeError) as error:
                raise ModelError(f"cannot read {file}: {error}; publish the model anew") from error
        return use


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
