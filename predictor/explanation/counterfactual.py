"""What the crowd would say of another request: one thing changed at a time, all else equal.

These hold for the whole crowd, its members, its calibration and its choice of safe, where attributions speak of one
member. They say what the crowd would answer, not what the job would do.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from crowdrun.data.explanation import Counterfactual
from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.predictor.explanation.words import duration, memory

#: A change that moves neither safe nor median by this factor does not matter.
SMALLEST_FACTOR = 1.1

_BATCH_FLAG = re.compile(r"(--?batch[-_]?size[ =])(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """The request with one thing changed."""

    change: str
    field: str
    before: float | str | None
    after: float | str | None
    request: JobRequest


def variants(request: JobRequest, recommendation: Recommendation) -> list[Variant]:
    """The request in other forms that its user could have sent."""
    return [*_other_numbers(request, recommendation), *_other_batches(request), *_other_names(request)]


def compared(
    target: str, recommendation: Recommendation, changed: Sequence[tuple[Variant, Recommendation]]
) -> tuple[Counterfactual, ...]:
    """Those of the variants that move the figures of the target, the largest move first; of each field the largest."""
    found: dict[str, tuple[float, Counterfactual]] = {}
    for variant, answer in changed:
        said = answer.predictions.get(target)
        median, safe = (said.quantiles[0.5], said.safe) if said else (None, None)
        known = recommendation.predictions[target]
        move = max(_move(known.quantiles[0.5], median), _move(known.safe, safe))
        if move >= math.log(SMALLEST_FACTOR) and move > found.get(variant.field, (0.0,))[0]:
            found[variant.field] = move, _counterfactual(variant, median, safe)
    return tuple(one for _, one in sorted(found.values(), key=lambda pair: -pair[0]))


def _counterfactual(variant: Variant, median: float | None, safe: float | None) -> Counterfactual:
    return Counterfactual(
        change=variant.change, field=variant.field, before=variant.before, after=variant.after, median=median, safe=safe
    )


def _move(before: float, after: float | None) -> float:
    """How far apart, in logarithms; nothing said at all is the farthest. One is added, for counts of 0."""
    return math.inf if after is None else abs(math.log((after + 1) / (before + 1)))


#: Field -> how a value of it is said, and what is said before and after it.
_NUMBERS: dict[str, tuple[Callable[[float], str], str, str]] = {
    "req_mem_mb": (memory, "", " of memory"),
    "timelimit_s": (duration, "a time limit of ", ""),
    "req_cpus": ("{:.0f}".format, "", " CPU"),
    "req_gpus": ("{:.0f}".format, "", " GPU"),
    "req_nodes": ("{:.0f}".format, "", " node"),
}
_QUARTERED = ("req_mem_mb", "timelimit_s")


def _other_numbers(request: JobRequest, recommendation: Recommendation) -> list[Variant]:
    """Less of what is asked for; of memory and time also what is recommended."""
    said = []
    for field, (words, lead, noun) in _NUMBERS.items():
        before = getattr(request, field)
        if not before:
            continue
        smaller = {before / 4, _recommended(field, recommendation)} if field in _QUARTERED else {before // 2}
        for after in sorted(value for value in smaller if value and value != before):
            plural = "s" if field not in _QUARTERED and after != 1 else ""
            change = f"with {lead}{words(after)}{noun}{plural} instead of {words(before)}"
            other = replace(request, **{field: after})
            said.append(Variant(change=change, field=field, before=before, after=after, request=other))
    return said


def _recommended(field: str, recommendation: Recommendation) -> float | None:
    prediction = recommendation.predictions.get({"req_mem_mb": "mem_mb", "timelimit_s": "run_time_s"}[field])
    return prediction.safe if prediction else None


def _other_batches(request: JobRequest) -> list[Variant]:
    """Half the batch size, in its field and on the command line."""
    flag = _BATCH_FLAG.search(request.command or "")
    before = request.batch_size or (int(flag[2]) if flag else 0)
    if before < 2:
        return []
    after = before // 2
    command = _BATCH_FLAG.sub(lambda found: f"{found[1]}{after}", request.command) if request.command else None
    other = replace(request, batch_size=after if request.batch_size else None, command=command)
    change = f"with a batch size of {after} instead of {before}"
    return [Variant(change=change, field="batch_size", before=before, after=after, request=other)]


def _other_names(request: JobRequest) -> list[Variant]:
    """As somebody, or under a name, of whom nothing is known."""
    said = []
    for field, change in (("user", "for a user without a history"), ("job_name", "under a new name")):
        before = getattr(request, field)
        if before:
            other = replace(request, **{field: None})
            said.append(Variant(change=change, field=field, before=before, after=None, request=other))
    return said
