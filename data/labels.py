"""Which figures of a job can be believed: for each target measured, a lower bound (right-censored), or unknown.

Each trap is one row of `RULES`; for each target the first rule that fits a job decides. Jobs are never dropped here.

>>> jobs = pd.DataFrame({"job_id": ["1", "2", "3"], "state": ["COMPLETED", "OUT_OF_MEMORY", "COMPLETED"],
...     "submit_time": 0.0, "start_time": 5.0, "end_time": [65.0, 65.0, 8.0], "req_nodes": 1.0,
...     "req_mem_mb": [4096.0, 200.0, 4096.0], "peak_mem_mb": [300.0, 160.0, 4.0]})
>>> label_jobs(jobs)[["mem_label", "mem_mb", "mem_rule"]].values.tolist()
[['measured', 300.0, 'measured'], ['at_least', 200.0, 'out of memory'], ['unknown', nan, 'too short']]
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdrun.data.duplicates import drop_duplicates
from crowdrun.data.states import STATES, State

Label = Literal["measured", "at_least", "unknown"]
Target = Literal["mem", "run_time", "gpus", "gpu_mem", "wait"]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Target -> the column of `label_jobs` that holds its value.
VALUE_COLUMNS: dict[Target, str] = {
    "mem": "mem_mb",
    "run_time": "run_time_s",
    "gpus": "gpus",
    "gpu_mem": "gpu_mem_mb",
    "wait": "wait_s",
}
TARGETS: tuple[Target, ...] = tuple(VALUE_COLUMNS)
#: All that a run has to be over for; how long it waited is known when it starts.
OF_THE_RUN: tuple[Target, ...] = tuple(target for target in TARGETS if target != "wait")
#: Shorter runs end before memory was sampled often enough (every 30 s by default, JobAcctGatherFrequency).
SHORTEST_RUN_S = 10.0
#: A larger request is a flag or a "no limit" that was written as a number: 1 PB.
LARGEST_REQUEST_MB = float(2**30)
#: From this share of the request on, a cgroup peak may be page cache that the kernel would have given back.
NEAR_LIMIT = 0.99


class LabelledJobs:
    """What the rules look at: canonical columns as float arrays, NaN where unknown, and what follows from them."""

    def __init__(self, jobs: pd.DataFrame, *, shortest_run_s: float) -> None:
        self._jobs = jobs
        self.submit, self.start, self.end = (_number(jobs, name) for name in ("submit_time", "start_time", "end_time"))
        self.run_time_s = self.end - self.start
        # Who gave up had waited until then.
        self.wait_s = np.where(np.isnan(self.start), self.end, self.start) - self.submit
        self.short = self.run_time_s < shortest_run_s
        self.peak_mb, self.peak_gpu_mb = _number(jobs, "peak_mem_mb"), _number(jobs, "peak_gpu_mem_mb")
        self.gpus = _number(jobs, "alloc_gpus")
        self.request_mb = believable_request_mb(jobs)
        nodes = _number(jobs, "req_nodes")
        # On one node the kernel kills at the request. On several, one node's share of it is enough.
        reached = np.where(np.isnan(nodes) | (nodes <= 1), self.request_mb, np.nan)
        self.bound_mb = np.fmax(np.where(self.peak_mb > 0, self.peak_mb, np.nan), reached)

    def state(self, says: Callable[[State], bool]) -> Bools:
        """Where the state is known and says so."""
        if "state" not in self._jobs:
            return np.zeros(len(self._jobs), bool)
        return np.asarray(self._jobs["state"].isin([name for name, state in STATES.items() if says(state)]))

    def repeated(self) -> Bools:
        """Where another row of the same run tells more, or as much and comes first."""
        kept = drop_duplicates(self._jobs.reset_index(drop=True)).index
        result = np.ones(len(self._jobs), bool)
        result[kept] = False
        return result

    def ran_before(self) -> Bools:
        """Where an earlier run of the same submission has started: since then the job was not waiting."""
        runs = pd.DataFrame({"id": self._jobs["job_id"].to_numpy(), "submit": self.submit, "start": self.start})
        earliest = runs.groupby(["id", "submit"], dropna=False)["start"].transform("min").to_numpy()
        return np.asarray(self.start > earliest)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One reason for a label."""

    name: str
    targets: tuple[Target, ...]
    label: Label
    doc: str
    fits: Callable[[LabelledJobs], Bools]


#: In order: the first that fits decides.
RULES: tuple[Rule, ...] = (
    Rule(
        name="repeated",
        targets=TARGETS,
        label="unknown",
        doc="The same run comes twice (same id and start); the row that tells most counts, the first of equals.",
        fits=LabelledJobs.repeated,
    ),
    Rule(
        name="not ended",
        targets=OF_THE_RUN,
        label="unknown",
        doc="Pending or running when the log was made: nothing is final.",
        fits=lambda jobs: jobs.state(lambda state: not state.ended) | np.isnan(jobs.end),
    ),
    Rule(
        name="never started",
        targets=OF_THE_RUN,
        label="unknown",
        doc="Cancelled while it waited: it held nothing.",
        fits=lambda jobs: np.isnan(jobs.start),
    ),
    Rule(
        name="times out of order",
        targets=TARGETS,
        label="unknown",
        doc="It ended before it started, or started before it was submitted: clocks were set, or the record is broken.",
        fits=lambda jobs: (jobs.end < jobs.start) | (jobs.start < jobs.submit),
    ),
    Rule(
        name="ran before",
        targets=("wait",),
        label="unknown",
        doc="A later run of a requeued job that keeps its first submission: it ran in between, and was not waiting.",
        fits=LabelledJobs.ran_before,
    ),
    Rule(
        name="gave up waiting",
        targets=("wait",),
        label="at_least",
        doc="Cancelled, or past its deadline, before it started: it would have waited longer.",
        fits=lambda jobs: np.isnan(jobs.start) & (jobs.wait_s >= 0) & jobs.state(lambda state: state.run_time_is_bound),
    ),
    Rule(
        name="no start",
        targets=("wait",),
        label="unknown",
        doc="It still waits, or the log does not tell when it was submitted or started.",
        fits=lambda jobs: np.isnan(jobs.start) | np.isnan(jobs.submit),
    ),
    Rule(
        name="out of memory",
        targets=("mem",),
        label="at_least",
        doc="Killed for want of memory. The peak lies below what it would have needed: a cgroup kills at the request, "
        "with the peak below it (157 to 193 MB at 200); sampling kills late, with the peak above. So the bound is the "
        "larger of peak and request, on several nodes (where one node's share is enough to kill) the peak alone.",
        fits=lambda jobs: jobs.state(lambda state: state.memory_is_bound) & (jobs.bound_mb > 0),
    ),
    Rule(
        name="no peak",
        targets=("mem",),
        label="unknown",
        doc="The log has no peak of it: not gathered, or made with `sacct -X`. Missing is not zero.",
        fits=lambda jobs: np.isnan(jobs.peak_mb),
    ),
    Rule(
        name="peak of 0",
        targets=("mem",),
        label="unknown",
        doc="It ended before the first sample: not measured, rather than nothing used.",
        fits=lambda jobs: jobs.peak_mb <= 0,
    ),
    Rule(
        name="no GPU peak",
        targets=("gpu_mem",),
        label="unknown",
        doc="Not gathered, or 0, which AMD, GH200 and MIG cards give for want of a figure.",
        fits=lambda jobs: np.isnan(jobs.peak_gpu_mb) | (jobs.peak_gpu_mb <= 0),
    ),
    Rule(
        name="too short",
        targets=("mem", "gpu_mem"),
        label="unknown",
        doc="It ran for less than SHORTEST_RUN_S: sampled once or never, mostly a few KB of the shell.",
        fits=lambda jobs: jobs.short,
    ),
    Rule(
        name="at the limit",
        targets=("mem",),
        label="measured",
        doc="The peak is the request but for 1%. It may be page cache (cgroup figures count it), so the need may be "
        "less; it is believed all the same: to leave such jobs out would teach too little for those that do need it.",
        fits=lambda jobs: (jobs.peak_mb >= NEAR_LIMIT * jobs.request_mb) & (jobs.peak_mb <= jobs.request_mb),
    ),
    Rule(
        name="no run time",
        targets=("run_time",),
        label="unknown",
        doc="It ran for less than the second in which logs count.",
        fits=lambda jobs: jobs.run_time_s <= 0,
    ),
    Rule(
        name="stopped before it was done",
        targets=("run_time",),
        label="at_least",
        doc="TIMEOUT, cancelled, preempted, node failure, out of memory: it would have run on.",
        fits=lambda jobs: jobs.state(lambda state: state.run_time_is_bound),
    ),
    Rule(
        name="no GPU count",
        targets=("gpus",),
        label="unknown",
        doc="The log does not tell how many GPUs it was given.",
        fits=lambda jobs: np.isnan(jobs.gpus),
    ),
    Rule(
        name="measured",
        targets=TARGETS,
        label="measured",
        doc="Nothing speaks against it.",
        fits=lambda jobs: np.ones(len(jobs.start), bool),
    ),
)
RULES_BY_NAME: dict[str, Rule] = {rule.name: rule for rule in RULES}


def label_jobs(jobs: pd.DataFrame, *, shortest_run_s: float = SHORTEST_RUN_S) -> pd.DataFrame:
    """The labels of each job, on the index of `jobs` (canonical columns; `job_id` and the times are required).

    For each target T of TARGETS: `T_label` (measured, at_least, unknown), `T_rule` (a name in RULES) and its value
    under VALUE_COLUMNS[T]: the figure where measured, the lower bound where at_least, NaN where unknown.
    """
    view = LabelledJobs(jobs, shortest_run_s=shortest_run_s)
    fits = [rule.fits(view) for rule in RULES]
    columns: dict[str, NDArray[np.object_] | Floats] = {}
    for target in TARGETS:
        # `measured` fits every job and every target, so there is always a first.
        first = np.argmax([fit & (target in rule.targets) for rule, fit in zip(RULES, fits, strict=True)], axis=0)
        labels = np.array([rule.label for rule in RULES], dtype=object)[first]
        columns[f"{target}_label"] = labels
        columns[f"{target}_rule"] = np.array([rule.name for rule in RULES], dtype=object)[first]
        columns[VALUE_COLUMNS[target]] = np.where(labels == "unknown", np.nan, _value(view, target, labels))
    return pd.DataFrame(columns, index=jobs.index)


def believable_request_mb(jobs: pd.DataFrame) -> Floats:
    """The memory that was asked for, MB, total; NaN where unknown, 0, or too much to be meant (2147486648 MB)."""
    request = _number(jobs, "req_mem_mb")
    return np.where((request > 0) & (request <= LARGEST_REQUEST_MB), request, np.nan)


def _number(jobs: pd.DataFrame, name: str) -> Floats:
    """A column; NaN throughout when the frame lacks it."""
    if name not in jobs:
        return np.full(len(jobs), np.nan)
    return np.asarray(jobs[name].to_numpy(np.float64, na_value=np.nan))


def _value(jobs: LabelledJobs, target: Target, labels: NDArray[np.object_]) -> Floats:
    if target == "mem":
        return np.where(labels == "at_least", jobs.bound_mb, jobs.peak_mb)
    values = {"run_time": jobs.run_time_s, "gpus": jobs.gpus, "gpu_mem": jobs.peak_gpu_mb, "wait": jobs.wait_s}
    return values[target]
