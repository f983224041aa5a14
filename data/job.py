"""The plain records that pass between the layers: what a job asks for, what it used, and what crowdrun says.

>>> request = JobRequest(user="ada", job_name="train-7", req_mem_mb=64000.0, submit_time=0.0)
>>> request.req_mem_mb, request.req_gpus
(64000.0, None)
>>> JobRequest(req_mem_mb=-1.0)
Traceback (most recent call last):
...
crowdrun.data.errors.RequestError: req_mem_mb is -1.0; it must be a number of 0 or more, or left out when it is unknown
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from crowdrun.data.errors import RequestError
from crowdrun.data.explanation import Explanation
from crowdrun.data.network_forecast import NetworkForecast


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """What is known of a job when it is submitted; the fields are the submit-time columns of `columns.py`."""

    job_id: str | None = None
    user: str | None = None
    group: str | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    job_name: str | None = None
    command: str | None = None
    work_dir: str | None = None
    submit_time: float | None = None
    req_nodes: int | None = None
    req_cpus: int | None = None
    req_mem_mb: float | None = None
    req_gpus: int | None = None
    gpu_type: str | None = None
    timelimit_s: float | None = None
    model: str | None = None
    params_m: float | None = None
    batch_size: int | None = None
    precision: str | None = None
    optimizer: str | None = None

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise RequestError(
                    f"{name} is {value!r}; it must be a number of 0 or more, or left out when it is unknown"
                )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "JobRequest":
        """A request from a row of canonical columns; others are passed over, NaN and empty text mean unknown."""
        known = {name: values[name] for name in REQUEST_FIELDS if name in values and not _is_unknown(values[name])}
        for name in WHOLE_NUMBERS & known.keys():
            known[name] = int(known[name])
        return cls(**known)


WHOLE_NUMBERS = frozenset({"req_nodes", "req_cpus", "req_gpus", "batch_size"})
NUMBERS = ("submit_time", "req_nodes", "req_cpus", "req_mem_mb", "req_gpus", "timelimit_s", "params_m", "batch_size")
REQUEST_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(JobRequest))


def _is_unknown(value: Any) -> bool:
    return value is None or value == "" or value != value


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOutcome:
    """What a job did, known when it has ended."""

    start_time: float | None = None
    end_time: float | None = None
    state: str | None = None
    exit_code: str | None = None
    peak_mem_mb: float | None = None
    alloc_gpus: int | None = None
    peak_gpu_mem_mb: float | None = None
    gpu_util: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The past jobs that a recommendation rests on."""

    #: What they have in common with this one: "user and name", "user", "group", "everything".
    shared: str
    jobs: int
    lowest: float
    median: float
    highest: float
    #: End of the newest of them, UTC epoch seconds.
    newest_time: float
    #: How many of them needed more than this request asks for; None where it asks for nothing.
    above_request: int | None = None
    #: Of GPUs: how many such jobs kept busy, and the GPU·h of a job that stood idle, means; None where none told it.
    gpus_busy: float | None = None
    idle_gpuh: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetPrediction:
    """The predicted distribution of one target (`mem_mb`, `run_time_s`, `gpus`, `gpu_mem_mb`, `wait_s`) for one job."""

    target: str
    #: Probability -> value, calibrated, non-decreasing.
    quantiles: Mapping[float, float]
    #: Keeps the risk that was asked for, over all jobs.
    safe: float
    #: Least expected wastage, a failed attempt costed; of a wait, the one best guess.
    lean: float
    #: What to ask for after an attempt died for want of this resource, first retry first.
    ladder: tuple[float, ...]
    #: Member -> its own median, and its weight in the crowd.
    members: Mapping[str, tuple[float, float]]
    #: (value, probability that the job needs more), values rising, probabilities falling; straight lines between.
    risk_curve: tuple[tuple[float, float], ...]
    evidence: Evidence | None = None
    #: What the request asks for.
    asked: float | None = None

    def risk_of(self, value: float) -> float:
        """The probability that the job needs more than this; beyond the end of the curve, what it ends with.

        >>> curve = ((0.0, 1.0), (800.0, 0.5), (800.0, 0.2), (1000.0, 0.1), (4000.0, 0.0001))
        >>> memory = TargetPrediction(
        ...     target="mem_mb", quantiles={}, safe=4000, lean=900, ladder=(), members={}, risk_curve=curve)
        >>> [round(memory.risk_of(mb), 4) for mb in (400, 800, 900, 1000, 9000)]
        [0.75, 0.5, 0.15, 0.1, 0.0001]
        """
        # A value alone comes before all points with it.
        place = bisect_left(self.risk_curve, (value,))
        if place == len(self.risk_curve):
            return self.risk_curve[-1][1]
        upper, risk = self.risk_curve[place]
        if upper == value:
            # Of a step, the upper end: on its edge a job may fall to either side.
            return risk
        if place == 0:
            return 1.0
        lower, more = self.risk_curve[place - 1]
        return more + (risk - more) * (value - lower) / (upper - lower)

    @property
    def safe_risk(self) -> float:
        """The probability that this very job needs more than `safe`: up to about twice the risk that was asked for,
        and more where the request itself is too small, which `safe` never exceeds."""
        return self.risk_of(self.safe)

    @property
    def lean_risk(self) -> float:
        """The probability that this very job needs more than `lean`."""
        return self.risk_of(self.lean)

    @property
    def asked_risk(self) -> float | None:
        """The probability that the job needs more than the request asks for; None where it asks for nothing."""
        return None if self.asked is None else self.risk_of(self.asked)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """crowdrun's answer for one job."""

    request: JobRequest
    #: The risk that the safe figures keep, as asked for.
    risk: float
    predictions: Mapping[str, TargetPrediction]
    #: Target -> why nothing is said of it.
    abstained: Mapping[str, str] = field(default_factory=dict)
    #: Sentences for a person, each true to the figures above.
    reasons: tuple[str, ...] = ()
    #: Target -> why its prediction is what it is; empty unless it was asked for.
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    #: What the network that the job trains needs of a GPU, where its command names a well-known one.
    network_forecast: NetworkForecast | None = None
    model_id: str | None = None
