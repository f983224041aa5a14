"""What a log holds and what can be learnt from it, gathered a block at a time in memory that hardly grows."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from crowdrun.data.duplicates import SeenRuns
from crowdrun.data.labels import TARGETS, VALUE_COLUMNS, Target, believable_request_mb, label_jobs
from crowdrun.data.reading import to_frame
from crowdrun.data.sources.base import ReadReport

#: Distinct users and names are counted up to here, then "at least" so many.
MOST_DISTINCT = 1_000_000
_DIGITS = re.compile(r"\d+")
#: Bins of log2 of request / peak: 1% wide, from 2^-20 to 2^40.
_BINS_PER_DOUBLING, _LOWEST_LOG2, _HIGHEST_LOG2 = 64, -20, 40


@dataclass(kw_only=True)
class Waste:
    """Memory of the jobs whose peak was measured and whose request is known."""

    jobs: int = 0
    requested_gbh: float = 0.0
    used_gbh: float = 0.0
    #: Jobs whose peak went over their request.
    above_request: int = 0
    _ratios: np.ndarray[Any, np.dtype[np.int64]] = field(
        default_factory=lambda: np.zeros((_HIGHEST_LOG2 - _LOWEST_LOG2) * _BINS_PER_DOUBLING, np.int64)
    )

    def add(self, request_mb: pd.Series, peak_mb: pd.Series, run_time_s: pd.Series) -> None:
        """Jobs with all three known and above 0."""
        hours = run_time_s / 3600
        self.jobs += len(peak_mb)
        self.requested_gbh += float((request_mb * hours).sum()) / 1024
        self.used_gbh += float((peak_mb * hours).sum()) / 1024
        self.above_request += int((peak_mb > request_mb).sum())
        bins = (np.log2((request_mb / peak_mb).to_numpy()) - _LOWEST_LOG2) * _BINS_PER_DOUBLING
        np.add.at(self._ratios, np.clip(bins, 0, len(self._ratios) - 1).astype(np.intp), 1)

    @property
    def median_request_to_peak(self) -> float:
        """Median of request / peak, within 1%; NaN without a job."""
        if not self.jobs:
            return math.nan
        middle = np.searchsorted(np.cumsum(self._ratios), (self.jobs + 1) // 2)
        return float(2 ** ((middle + 0.5) / _BINS_PER_DOUBLING + _LOWEST_LOG2))


class Inspection:
    """Fed with the tables of `read_log`; then asked."""

    def __init__(self, report: ReadReport) -> None:
        self.report = report
        self.states: Counter[str] = Counter()
        #: Target -> label -> jobs, and target -> rule -> jobs.
        self.labels: dict[Target, Counter[str]] = {target: Counter() for target in TARGETS}
        self.rules: dict[Target, Counter[str]] = {target: Counter() for target in TARGETS}
        self.users: set[str] = set()
        #: Job names with every number written as #.
        self.names: set[str] = set()
        self.repeated = 0
        self.first_submit, self.last_submit = math.inf, -math.inf
        self.waste = Waste()
        self._seen = SeenRuns()

    def add(self, table: pa.Table) -> None:
        """Take in one block of the log."""
        jobs = to_frame(table)
        repeated = self._seen.repeated(jobs)
        self.repeated += int(repeated.sum())
        jobs = jobs[~repeated]
        self.states.update(jobs["state"].dropna())
        _gather(self.users, set(jobs["user"].dropna()))
        _gather(self.names, {_DIGITS.sub("#", name) for name in jobs["job_name"].dropna().unique()})
        submits = jobs["submit_time"].dropna()
        self.first_submit = min(self.first_submit, submits.min()) if len(submits) else self.first_submit
        self.last_submit = max(self.last_submit, submits.max()) if len(submits) else self.last_submit
        self._add_labels(jobs)

    def _add_labels(self, jobs: pd.DataFrame) -> None:
        labels = label_jobs(jobs)
        for target in TARGETS:
            self.labels[target].update(labels[f"{target}_label"])
            self.rules[target].update(labels[f"{target}_rule"])
        request = pd.Series(believable_request_mb(jobs), index=jobs.index)
        run_time = jobs["end_time"] - jobs["start_time"]
        told = (labels["mem_label"] == "measured") & request.notna() & (run_time > 0)
        self.waste.add(request[told], labels["mem_mb"][told], run_time[told])

    def as_json(self) -> dict[str, Any]:
        """Everything, for a program; unknown is None."""
        report = self.report
        return {
            "lines": report.lines,
            "jobs": report.jobs,
            "repeated": self.repeated,
            "skipped": _sorted(report.skipped),
            "repaired": _sorted(report.repaired),
            "rejected": _sorted(report.rejected),
            "rejections": [
                {"line": rejection.line, "reason": rejection.reason, "text": rejection.text}
                for rejection in report.rejections
            ],
            "advice": report.advice,
            "states": _sorted(self.states),
            "first_submit": _finite(self.first_submit),
            "last_submit": _finite(self.last_submit),
            "users": len(self.users),
            "names": len(self.names),
            "targets": {
                VALUE_COLUMNS[target]: {
                    **{label: self.labels[target][label] for label in ("measured", "at_least", "unknown")},
                    "rules": _sorted(self.rules[target]),
                }
                for target in TARGETS
            },
            "memory": {
                "jobs": self.waste.jobs,
                "requested_gbh": self.waste.requested_gbh,
                "used_gbh": self.waste.used_gbh,
                "above_request": self.waste.above_request,
                "median_request_to_peak": _finite(self.waste.median_request_to_peak),
            },
        }


def _gather(known: set[str], new: set[str]) -> None:
    if len(known) < MOST_DISTINCT:
        known |= new


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in counts.most_common() if count}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
