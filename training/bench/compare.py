"""Every strategy on the same task, steps and samples, beside the single process."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crowdrun.data.errors import LaunchError
from crowdrun.training.bench.launch import Measurement, measure
from crowdrun.training.strategies.settings import SETTINGS, strategy_spec

#: Told what is being done and the share that is.
Progress = Callable[[str, float], None]
#: Each is measured by itself; one name may stand for several ways of one strategy.
WAYS: Mapping[str, Mapping[str, Any]] = {
    **{name: {"name": name} for name in SETTINGS if name not in ("single", "compressed", "server", "pipeline")},
    **{f"compressed {m}": {"name": "compressed", "method": m} for m in ("one-bit", "bf16", "powersgd", "top-k")},
    **{f"server {m}": {"name": "server", "mode": m} for m in ("synchronous", "asynchronous", "stale-synchronous")},
    **{f"pipeline {s}": {"name": "pipeline", "schedule": s} for s in ("gpipe", "1f1b", "interleaved", "zero-bubble")},
}


def compare(plain: Measurement, *, ways: Sequence[str], progress: Progress) -> dict[str, Any]:
    """`strategies`: name -> what was measured; `skipped`: name -> why it cannot train this task.

    plain: the task, its options, the ranks and steps; its strategy is replaced by each of `ways`.
    """
    strategies: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    names = ["single", *(name for name in ways if name != "single")]
    with tempfile.TemporaryDirectory(prefix="crowdrun-bench-") as place:
        for number, name in enumerate(names):
            spec = strategy_spec(WAYS.get(name, {"name": name}))
            one = replace(plain, strategy=spec, ranks=1 if name == "single" else plain.ranks)
            try:
                strategies[name] = measure(one, Path(place) / str(number), _share(progress, name, number, len(names)))
            except LaunchError as error:
                if name == "single":  # nothing can be compared with it
                    raise
                skipped[name] = str(error)
    return {"strategies": strategies, "skipped": skipped}


def _share(progress: Progress, name: str, number: int, of: int) -> Callable[[float], None]:
    progress(name, number / of)
    return lambda share: progress(name, (number + share) / of)
