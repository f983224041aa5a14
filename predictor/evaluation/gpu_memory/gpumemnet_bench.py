"""The learned layer on generated networks, by their layers: sizes, classes of size, and which run out of memory."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.evaluation.gpu_memory.gpumemnet_rows import GeneratedRow, read_generated
from crowdrun.predictor.evaluation.gpu_memory.judging import FOLDS, figures
from crowdrun.predictor.gpu_memory.learned.features import Array
from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep, folds, learn

#: Groups that the rows are dealt to where no architecture is left out.
GROUPS = 100
#: Widths of the classes, GB of 1,024 MB: the authors' are those of 1 to 8 GB.
BINS_GB = (1, 2, 4, 8)


def bench_gpumemnet(file: Path, risk: float, progress: Callable[[str, float], None]) -> dict[str, Any]:
    """Judged twice: with whole architectures left out, and with random rows left out, as the authors do."""
    rows, incomplete = read_generated(file)
    architectures = np.unique([row.architecture for row in rows], return_inverse=True)[1]
    dealt = np.arange(len(rows)) % GROUPS
    return {
        "rows": sum(not row.out_of_memory for row in rows), "out_of_memory": sum(row.out_of_memory for row in rows),
        "incomplete": incomplete, "risk": risk,
        "splits": {
            "architecture": _judge(rows, architectures, architectures, risk, progress),
            "rows": _judge(rows, folds(np.arange(len(rows)).astype(str), FOLDS), dealt, risk, progress),
        },
    }  # fmt: skip


def _judge(
    rows: Sequence[GeneratedRow],
    fold: NDArray[np.intp],
    groups: NDArray[np.intp],
    risk: float,
    progress: Callable[[str, float], None],
) -> dict[str, Any]:
    """groups: what is left out together while it is learned what a margin must be."""
    said, given = np.zeros(len(rows)), np.zeros(len(rows))
    for done, one in enumerate(np.unique(fold)):
        progress(f"fold {done + 1}", done / len(np.unique(fold)))
        # A run that ran out of memory needed more than was measured: there is nothing to learn its size from.
        known = [place for place, row in enumerate(rows) if fold[place] != one and not row.out_of_memory]
        learned = learn([_step(rows[place], groups[place]) for place in known], "the bench")
        out = np.flatnonzero(fold == one).tolist()
        features = [rows[place].features for place in out]
        said[out] = learned.mb(features)
        given[out] = said[out] * learned.margins(features, risk)
    measured = np.array([row.measured_mb for row in rows])
    out_of_memory = np.array([row.out_of_memory for row in rows])
    ended = ~out_of_memory
    return asdict(figures(said[ended], given[ended], measured[ended])) | {
        "auc": round(auc(said, out_of_memory), 4) if out_of_memory.any() and ended.any() else None,
        "bins": {f"{gb} GB": _same_bin(said[ended], measured[ended], gb) for gb in BINS_GB},
    }


def _step(row: GeneratedRow, group: int) -> MeasuredStep:
    return MeasuredStep(features=row.features, measured_mb=row.measured_mb, family=str(group))


def auc(said: Array, positive: NDArray[np.bool_]) -> float:
    """The probability that a positive is said to be larger than a negative (Mann and Whitney's U).

    >>> auc(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    1.0
    """
    larger = said[positive][:, None] > said[~positive]
    equal = said[positive][:, None] == said[~positive]
    return float(np.mean(larger + 0.5 * equal))


def _same_bin(said: Array, measured: Array, width_gb: int) -> float:
    width = 1024.0 * width_gb
    return round(float(np.mean(said // width == measured // width)), 4)
