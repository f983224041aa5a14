"""Samples a second against the batch size, in one process, and the knee of the curve."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crowdrun.training.bench.launch import Measurement, measure

#: The knee: the smallest batch with so much of the most samples a second.
NEAR_THE_TOP = 0.9


def by_batch_size(
    plain: Measurement, *, batch_sizes: Sequence[int], progress: Callable[[str, float], None]
) -> dict[str, Any]:
    """`batches`: one entry a size with `batch_size`, `step_s`, `samples_per_s`, `peak_mem_mb`; `knee`: a batch size."""
    found = []
    with tempfile.TemporaryDirectory(prefix="crowdrun-bench-") as place:
        for number, size in enumerate(batch_sizes):
            progress(f"batch of {size}", number / len(batch_sizes))
            one = replace(plain, options=replace(plain.options, batch_size=size))
            measured = measure(one, Path(place) / str(size))
            found.append(
                {
                    "batch_size": size,
                    "step_s": measured["step_s"],
                    "samples_per_s": size / measured["step_s"],
                    "peak_mem_mb": measured["peak_mem_mb"][0],
                }
            )
    return {"batches": found, "knee": knee([(one["batch_size"], one["samples_per_s"]) for one in found])}


def knee(rates: Sequence[tuple[int, float]]) -> int:
    """The smallest batch size from which on there is little to gain.

    >>> knee([(1, 10.0), (2, 19.0), (4, 36.0), (8, 38.0), (16, 39.0)])
    4
    """
    most = max(rate for _, rate in rates)
    return min(size for size, rate in rates if rate >= NEAR_THE_TOP * most)
