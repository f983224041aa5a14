"""From what the supervisors and the task saw to the outcome that the store keeps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crowdrun.data.job import JobOutcome
from crowdrun.training.rank_files import RESULT_FILE
from crowdrun.training.supervision import order
from crowdrun.training.supervision.order import NodeReport


def read_result(folder: Path) -> dict[str, Any] | None:
    """What rank 0 of a task reported; None for a plain command and for a task that did not come to its end."""
    file = folder / RESULT_FILE
    return dict(json.loads(file.read_text())) if file.is_file() else None


def read_reports(folder: Path, nodes: int) -> list[NodeReport]:
    """The reports that are there, one a node."""
    return [report for node in range(nodes) if (report := order.read_report(folder, node))]


def host_peak_mb(folder: Path, nodes: int) -> float | None:
    """Peak memory of the job, MB: the sum over its nodes of what each held at most.

    Where a supervisor was killed before its report, its samples stand in. None when a node left nothing.
    """
    peaks = []
    for node in range(nodes):
        report = order.read_report(folder, node)
        sampled = max((s.mem_mb for s in order.read_samples(folder, node)), default=None)
        peaks.append(report.peak_mem_mb if report else sampled)
    return None if None in peaks else sum(filter(None, peaks))


def outcome_of(
    folder: Path,
    *,
    nodes: int,
    start_time: float,
    end_time: float,
    state: str,
    exit_code: str,
    alloc_gpus: int | None,
    peak_mem_mb: float | None = None,
) -> JobOutcome:
    """The outcome of an attempt. peak_mem_mb stands in where the supervisors left no figure."""
    reports = read_reports(folder, nodes)
    measured = host_peak_mb(folder, nodes)
    return JobOutcome(
        start_time=start_time,
        end_time=end_time,
        state=state,
        exit_code=exit_code,
        peak_mem_mb=peak_mem_mb if measured is None else measured,
        alloc_gpus=alloc_gpus,
        peak_gpu_mem_mb=_gpu_peak_mb(reports, read_result(folder)),
        gpu_util=_mean([report.gpu_util for report in reports]),
    )


def _gpu_peak_mb(reports: Sequence[NodeReport], result: dict[str, Any] | None) -> float | None:
    """What the driver said, else what torch's allocator reserved at most on one card."""
    driver = [r.peak_gpu_mem_mb for r in reports if r.peak_gpu_mem_mb is not None]
    torch = [rank["peak_gpu_mem_mb"] for rank in (result or {}).get("ranks", []) if rank["peak_gpu_mem_mb"]]
    return max(driver or torch, default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
