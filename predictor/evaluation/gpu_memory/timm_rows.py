"""The measured rows of timm's models, and which of them tell what a step needs.

The table (`timm-gpu-memory.csv.xz`: model, batch_size, max_gpu_mem_mib) is from itu-rad/GPUMemNet, CC-BY-4.0: the
largest figure of the whole card while timm's training script ran on an A100 of 40 GB. It holds runs that crashed and
runs that filled the card. They are found by the measurements alone, never by a forecast, which would choose its judges.
"""

import lzma
from collections.abc import Sequence
from csv import DictReader
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from crowdrun.data.errors import LogError

#: MB of the card, and from where on it is full: the run may have needed more.
CARD_MB, FULL_MB = 40960.0, 39500.0
#: Why a row is left out -> in words.
REASONS = {
    "full": "the card was full: 39.5 GB or more",
    "after_full": "a smaller batch filled the card, or would have",
    "falls": "less than a smaller batch took, of those that agree: the run crashed",
    "repeated": "the same figure as another batch: the run ended before its first step",
    "beyond_card": "the line through the two smaller batches leads beyond the card: the run crashed when it was full",
    "below_weights": "less than weights, gradients and momentum take: the run crashed",
    "not_traced": "the forecast refuses the model",
}


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """One run: the batch of one model, and MB of the whole card."""

    model: str
    batch: int
    measured_mb: float
    #: A key of REASONS, or empty.
    left_out: str = ""


def read_rows(file: Path) -> list[MeasuredRow]:
    """Every row, in the order of model and batch, with the reason where it is left out.

    Raises:
        LogError: the file is missing or not such a table.
    """
    try:
        with lzma.open(file, "rt", encoding="utf-8", newline="") as lines:
            found = [
                MeasuredRow(model=row["model"], batch=int(row["batch_size"]), measured_mb=float(row["max_gpu_mem_mib"]))
                for row in DictReader(lines)
            ]
    except (OSError, EOFError, lzma.LZMAError, KeyError, TypeError, ValueError) as error:
        raise LogError(
            f"cannot read {file} as measurements of timm's models: {error!r}; it must be an xz file of the columns "
            "model, batch_size, max_gpu_mem_mib"
        ) from error
    found.sort(key=lambda row: (row.model, row.batch))
    return [row for _, rows in groupby(found, key=lambda row: row.model) for row in _marked(list(rows))]


def _marked(rows: Sequence[MeasuredRow]) -> list[MeasuredRow]:
    """The rows of one model, batches rising.

    >>> sizes = {8: 3000.0, 16: 2500.0, 32: 6000.0, 64: 39800.0, 128: 2400.0}
    >>> [row.left_out for row in _marked([MeasuredRow(model="m", batch=b, measured_mb=mb) for b, mb in sizes.items()])]
    ['', 'falls', '', 'full', 'after_full']
    """
    below = [row for row in rows if row.measured_mb < FULL_MB]
    rising = _rising(below)
    marked: list[MeasuredRow] = []
    for row in rows:
        marked.append(replace(row, left_out=_reason(row, rows, rising, marked)))
    return marked


def _reason(
    row: MeasuredRow, rows: Sequence[MeasuredRow], rising: Sequence[MeasuredRow], before: Sequence[MeasuredRow]
) -> str:
    if row.measured_mb >= FULL_MB:
        return "full"
    if any(one.left_out in ("full", "beyond_card", "after_full") for one in before):
        return "after_full"
    if any(one.measured_mb == row.measured_mb for one in rows if one is not row):
        return "repeated"
    if any(one.measured_mb > row.measured_mb and one.batch < row.batch for one in rising):
        return "falls"
    last = [one for one in before[-2:] if not one.left_out]
    if len(last) == 2 and _line(last[0], last[1], row.batch) > CARD_MB:
        return "beyond_card"
    return ""


def _rising(rows: Sequence[MeasuredRow]) -> tuple[MeasuredRow, ...]:
    """The most rows that rise with the batch, those with the larger figures where two choices are as many.

    Most of a model's runs are believed: a figure below one of theirs with a smaller batch is a crash, but one above
    theirs with a larger batch is a peak that was there (cuDNN tries every algorithm once), and is judged.
    """
    best: list[tuple[MeasuredRow, ...]] = []
    for row in rows:
        heads = [one for one in best if one[-1].measured_mb < row.measured_mb]
        best.append((*max(heads, key=_worth, default=()), row))
    return max(best, key=_worth, default=())


def _worth(rows: Sequence[MeasuredRow]) -> tuple[int, float]:
    return len(rows), sum(row.measured_mb for row in rows)


def _line(first: MeasuredRow, second: MeasuredRow, batch: int) -> float:
    rise = (second.measured_mb - first.measured_mb) / (second.batch - first.batch)
    return second.measured_mb + rise * (batch - second.batch)
