"""The bench on timm's models: read, trace, judge, and learn from all of them for who wants to use it."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from crowdrun.predictor.evaluation.gpu_memory.judging import FOLDS, judge, of_known_families
from crowdrun.predictor.evaluation.gpu_memory.timm_rows import MeasuredRow, read_rows
from crowdrun.predictor.evaluation.gpu_memory.traced_rows import TracedModel, cached_models, trace_rows
from crowdrun.predictor.gpu_memory.learned.correction import Correction
from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep, learn

#: What the measured card was, for the reader of a forecast.
BASIS = "learned from timm's training script on an A100 of 40 GB (itu-rad/GPUMemNet)"
#: Bytes that are held for a parameter at least: weight, gradient, momentum.
_BYTES_OF_PARAMETER, _MB = 12, 1 << 20


@dataclass(frozen=True, kw_only=True)
class TimmSteps:
    """What can be judged, side by side, and how many rows could not by reason."""

    steps: Sequence[MeasuredStep]
    models: Sequence[str]
    filtered: Mapping[str, int]
    rows: int
    #: Models whose batches in between were traced too, for they did not follow from the smallest and the largest.
    traced_each: int


def timm_steps(
    file: Path,
    *,
    cache: Path | None,
    cached_alone: bool,
    models: int | None,
    seed: int,
    progress: Callable[[str, float], None],
) -> TimmSteps:
    """The measured steps with their features.

    Args:
        file: the table of measurements.
        cache: file of traced models, read and written.
        cached_alone: leave out the models that are not in the cache.
        models: so many, drawn at random; None for all.
        seed: of that draw.
        progress: told what is done.
    """
    rows = read_rows(file)
    if models is not None:
        drawn = set(random.Random(seed).sample(sorted({row.model for row in rows}), models))
        rows = [row for row in rows if row.model in drawn]
    if cached_alone:
        known = cached_models(cache)
        rows = [row for row in rows if row.model in known]
    traced = trace_rows([row for row in rows if not row.left_out], cache, progress)
    reasons = [_reason(row, traced) for row in rows]
    kept = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    return TimmSteps(
        steps=[_step(row, traced[row.model]) for row in kept], models=[row.model for row in kept],
        filtered=dict(Counter(reason for reason in reasons if reason).most_common()), rows=len(rows),
        traced_each=sum(len(one.traced) > 2 for one in traced.values()),
    )  # fmt: skip


def bench_timm(found: TimmSteps, risk: float, progress: Callable[[str, float], None]) -> dict[str, Any]:
    """What is written: see docs/gpu-memory.md, "Learned from measurements"."""
    judged = judge(found.steps, risk, progress)
    known = of_known_families(found.steps, found.models, risk, progress)
    return {
        "rows": len(found.steps), "rows_of_table": found.rows, "filtered": found.filtered,
        "families": len({step.family for step in found.steps}), "models": len(set(found.models)),
        "traced_each": found.traced_each, "folds": FOLDS, "risk": risk, **judged,
        "known_families": asdict(known), "by_family": _by_family(found),
    }  # fmt: skip


def correction_of(found: TimmSteps) -> Correction:
    """Learned from all steps."""
    return learn(found.steps, BASIS)


def _reason(row: MeasuredRow, traced: Mapping[str, TracedModel]) -> str:
    if row.left_out:
        return row.left_out
    one = traced[row.model]
    if one.error:
        return "not_traced"
    return "below_weights" if row.measured_mb < one.parameters * _BYTES_OF_PARAMETER / _MB else ""


def _step(row: MeasuredRow, traced: TracedModel) -> MeasuredStep:
    return MeasuredStep(features=traced.features[row.batch], measured_mb=row.measured_mb, family=traced.family)


def _by_family(found: TimmSteps) -> dict[str, int]:
    families = sorted(step.family for step in found.steps)
    return {name: len(list(of)) for name, of in groupby(families)}
