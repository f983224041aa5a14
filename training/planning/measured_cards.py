"""The runs that a GPU measured: the features of the step that was forecast, beside what the card held.

They are the runs' own records; `crowdrun bench gpu-memory --runs` learns from them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from crowdrun.training.planning.corrections import peak_mb
from crowdrun.training.runs.history import read_runs


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """One run that came to its end on a GPU."""

    #: The task's file, module or built-in name: runs of one task teach the same.
    task: str
    #: `Forecast.features` of the split that was run.
    features: Mapping[str, float]
    #: The most that a card held, MB, as the driver counts it.
    card_mb: float


def measured_runs(runs_dir: Path) -> Iterator[MeasuredRun]:
    """The newest first; a run without a forecast, on a CPU, or without a figure of the driver teaches nothing here."""
    for record in read_runs(runs_dir):
        split, result = (record.get("plan") or {}).get("split") or {}, record.get("result") or {}
        if not split.get("features") or result.get("device") != "cuda" or not result.get("ranks"):
            continue
        card_mb = peak_mb(record)
        if card_mb:
            yield MeasuredRun(task=str(result.get("target", "")), features=split["features"], card_mb=card_mb)
