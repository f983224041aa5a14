"""What is predicted: one row a target, with the value that a job teaches and the unit it is given in.

Every target is learned as log2 of its value: needs differ by factors, not by amounts.

>>> [target.name for target in TARGETS]
['mem_mb', 'run_time_s', 'gpus', 'gpu_mem_mb', 'wait_s']
>>> TARGETS_BY_NAME["gpus"].to_log2(np.array([0.0, 1.0, 3.0])).tolist()
[0.0, 1.0, 2.0]
"""

from dataclasses import dataclass

import numpy as np

from crowdrun.predictor.quantiles import Array

#: No figure of a job is larger, in whatever unit: 10^18.
LARGEST_LOG2 = 60.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """One figure of a job that can be asked for in advance."""

    name: str
    doc: str
    #: The column of the request that speaks of the same thing, in the same unit.
    request_column: str | None
    #: log2 of what is expected of a job when nothing at all is known.
    first_anchor_log2: float
    #: log2 values that part jobs into small, middle and large: weights and calibration are kept for each.
    group_edges_log2: tuple[float, float]
    #: What a failed attempt costs beyond what it held, in the unit of the target.
    failure_price: float
    #: Added before log2, so that a count of 0 has a logarithm.
    offset: float = 0.0
    #: A figure that is a whole number.
    whole: bool = False
    #: The request bounds the need: the scheduler ends a job there, so nothing above it is ever recommended.
    capped_at_request: bool = True
    #: Smallest value that can be asked for.
    smallest: float = 1.0
    #: It is waited for, not asked for: known when the job starts, decided by the queue that it meets, and told as it is
    #: (the quantile of the confidence, the median) rather than as an allocation that may be too small.
    is_wait: bool = False

    def to_log2(self, value: Array) -> Array:
        result: Array = np.log2(np.maximum(value, 0 if self.offset else 1e-3) + self.offset)
        return result

    def from_log2(self, value: Array) -> Array:
        # A distribution that is carried far beyond its last quantile can leave the range of a float.
        result: Array = np.exp2(np.minimum(value, LARGEST_LOG2)) - self.offset
        return result

    def group(self, anchor_log2: float) -> int:
        """0 for small jobs, 1 for middle, 2 for large ones."""
        low, high = self.group_edges_log2
        return int(anchor_log2 >= low) + int(anchor_log2 >= high)


#: How many groups `Target.group` tells apart.
GROUPS = 3

TARGETS: tuple[Target, ...] = (
    Target(
        name="mem_mb", doc="peak host memory, MB, total of the job", request_column="req_mem_mb",
        first_anchor_log2=10.0, group_edges_log2=(9.0, 13.0), failure_price=1000.0,
    ),
    Target(
        name="run_time_s", doc="run time, s", request_column="timelimit_s",
        first_anchor_log2=10.0, group_edges_log2=(9.0, 14.0), failure_price=120.0,
    ),
    Target(
        # A job that finds fewer GPUs than it opens dies at once, and most that hold a second one meant it.
        name="gpus", doc="GPUs held, total", request_column="req_gpus",
        first_anchor_log2=0.0, group_edges_log2=(0.5, 1.3), failure_price=20.0, offset=1.0, whole=True, smallest=0.0,
    ),
    Target(
        name="gpu_mem_mb", doc="peak memory of one GPU, MB", request_column=None,
        first_anchor_log2=13.0, group_edges_log2=(12.0, 14.3), failure_price=1000.0, capped_at_request=False,
    ),
    Target(
        name="wait_s", doc="time from submission to start, s", request_column=None,
        first_anchor_log2=7.0, group_edges_log2=(6.0, 12.0), failure_price=0.0, offset=1.0, capped_at_request=False,
        smallest=0.0, is_wait=True,
    ),
)  # fmt: skip
TARGETS_BY_NAME: dict[str, Target] = {target.name: target for target in TARGETS}
