"""How much faster more ranks are: strong (the same batch divided) and weak (each rank the same share).

Amdahl, 1967, asks the first question and Gustafson, 1988, the second. Speedup is samples a second relative to one rank;
efficiency is speedup divided by the ranks.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crowdrun.training.bench.launch import Measurement, measure

KINDS = ("strong", "weak")


def by_ranks(
    plain: Measurement, *, ranks: Sequence[int], progress: Callable[[str, float], None]
) -> dict[str, list[dict[str, Any]]]:
    """`strong` and `weak`: an entry for each number of ranks, the first of which is what the others are compared with.

    Keys: `ranks`, `batch_size` of all together, `step_s`, `samples_per_s`, `speedup`, `efficiency`.
    """
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    todo = [(kind, number) for kind in KINDS for number in ranks]
    with tempfile.TemporaryDirectory(prefix="crowdrun-bench-") as place:
        for done, (kind, number) in enumerate(todo):
            progress(f"{kind}, {number} ranks", done / len(todo))
            size = plain.options.batch_size * (number if kind == "weak" else 1)
            one = replace(plain, ranks=number, options=replace(plain.options, batch_size=size))
            step_s = measure(one, Path(place) / f"{kind}-{number}")["step_s"]
            found[kind].append({"ranks": number, "batch_size": size, "step_s": step_s, "samples_per_s": size / step_s})
    for entries in found.values():
        for entry in entries:
            entry["speedup"] = entry["samples_per_s"] / entries[0]["samples_per_s"] * entries[0]["ranks"]
            entry["efficiency"] = entry["speedup"] / entry["ranks"]
    return found
