"""What the runs of a place taught about the forecasts made for it: measured minus forecast, from their records.

The records are the runs' own (`training/runs/records.py`), so nothing is kept twice, and a run that is taken away is
forgotten.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from statistics import median_high
from typing import Any

from crowdrun.training.planning.forecaster import Correction
from crowdrun.training.runs.history import read_runs

#: Of the newest runs, so many that have a forecast are listened to, among so many that are looked at.
LISTENED, LOOKED_AT = 20, 400


def corrections(runs_dir: Path, site: str, basis: str) -> dict[str, Correction]:
    """Device (cuda, cpu) -> by how much a rank's peak was above what was forecast for it, MB.

    basis: of the forecasts of cards (`Forecast.device_basis`); what was forecast on another one teaches nothing of it.
    """
    found: dict[str, list[float]] = {}
    for record in islice(read_runs(runs_dir), LOOKED_AT):
        if record.get("site") == site:
            for device, difference in differences_mb(record):
                if device != "cuda" or record["plan"]["split"].get("basis") == basis:
                    found.setdefault(device, []).append(difference)
    return {
        device: Correction(mb=float(median_high(known[:LISTENED])), runs=len(known[:LISTENED]))
        for device, known in found.items()
    }


def differences_mb(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Device and measured minus forecast, MB, of the rank that held most; nothing where one of the two is missing."""
    split, result = (record.get("plan") or {}).get("split"), record.get("result")
    if not split or not result or not result.get("ranks"):
        return
    peak = peak_mb(record)
    if peak is not None:
        yield result.get("device", "cpu"), peak - split["forecast_mb"]


def peak_mb(record: Mapping[str, Any]) -> float | None:
    """What the rank that held most held, MB: of its host, or of its card as the driver counts it, which is what the
    forecast of a card speaks of."""
    result = record["result"]
    if result.get("device") == "cuda":
        peak = record["attempts"][-1]["outcome"].get("peak_gpu_mem_mb")
        return None if peak is None else float(peak)
    return max((float(rank["peak_mem_mb"]) for rank in result["ranks"] if rank.get("peak_mem_mb")), default=None)
