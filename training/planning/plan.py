"""From what was asked for and what is recommended to what is requested of the machine. Pure: records in, record out.

>>> request = JobRequest(req_mem_mb=16000.0, req_gpus=0)
>>> plan = make_plan(request, None, Machine(name="local", memory_mb=20000.0, gpus=0))
>>> plan.mem_mb, plan.ladder, plan.gpus
(16000.0, (20000.0,), 0)
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.training.planning.placement import Placement
from crowdrun.training.planning.split import Split
from crowdrun.training.planning.topology import NodeCards

#: Without a model, an out-of-memory death doubles the request, as many times as this at most.
DOUBLINGS = 2


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the run goes, as far as a plan must know it."""

    name: str
    #: The most that a job can hold, MB, and its GPUs; None where the scheduler knows and we do not.
    memory_mb: float | None = None
    gpus: int | None = None
    #: A time limit helps there: a scheduler needs one to fit the job in.
    scheduled: bool = False
    #: The nodes with cards, as far as they are known.
    nodes: tuple[NodeCards, ...] = ()
    #: Whose history of forecasts counts: a host's name, or the scheduler's.
    site: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is requested."""

    machine: str
    #: Host memory of the first attempt, MB, total of the job; None sets no limit.
    mem_mb: float | None
    #: Memory of the attempts after an out-of-memory death, MB, increasing.
    ladder: tuple[float, ...]
    #: None sets no limit, or the scheduler's default.
    timelimit_s: float | None
    #: None takes what the machine gives.
    gpus: int | None
    #: How the ranks of a task work on a batch, where that could be forecast, and on which cards.
    split: Split | None = None
    placement: Placement | None = None
    #: Forecast of each rank's peak, MB: of its card on GPUs, of its host memory else; corrected by earlier runs.
    rank_forecast_mb: tuple[float, ...] = ()
    #: Sentences for a person: why each figure is what it is.
    reasons: tuple[str, ...] = ()


def make_plan(
    request: JobRequest, recommendation: Recommendation | None, machine: Machine, *, adaptable: bool = False
) -> Plan:
    """The plan of a run.

    adaptable: the job takes the GPUs that it gets (a task does; a command may count on those it asked for).
    """
    reasons: list[str] = []
    mem_mb, ladder = _memory(request, recommendation, machine, reasons)
    return Plan(
        machine=machine.name,
        mem_mb=mem_mb,
        ladder=ladder,
        timelimit_s=_time(request, recommendation, machine, reasons),
        gpus=_gpus(request, recommendation, machine, reasons, adaptable=adaptable),
        reasons=tuple(reasons),
    )


def _memory(
    request: JobRequest, recommendation: Recommendation | None, machine: Machine, reasons: list[str]
) -> tuple[float | None, tuple[float, ...]]:
    asked = request.req_mem_mb or None
    prediction = recommendation.predictions.get("mem_mb") if recommendation else None
    if prediction:
        first, rungs = prediction.safe, prediction.ladder
        reasons.append(f"memory {first:.0f} MB: the recommendation at the promised risk")
    elif asked:
        first, rungs = asked, tuple(asked * 2**k for k in range(1, DOUBLINGS + 1))
        reasons.append(f"memory {first:.0f} MB: as asked for")
    else:
        reasons.append("memory: no limit, since none was asked for and none is recommended")
        return None, ()
    # What the person asked for stays reachable: an attempt with it is never worse than a run without crowdrun.
    rungs = (*rungs, asked) if asked else rungs
    most = machine.memory_mb if machine.memory_mb is not None else math.inf
    if first > most:
        reasons.append(f"memory cut to the {most:.0f} MB of the machine")
    first = float(math.ceil(min(first, most)))
    return first, _rungs(first, (min(rung, most) for rung in rungs))


def _rungs(first: float, rungs: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted({float(math.ceil(rung)) for rung in rungs if math.ceil(rung) > first}))


def _time(
    request: JobRequest, recommendation: Recommendation | None, machine: Machine, reasons: list[str]
) -> float | None:
    if request.timelimit_s:
        # A shorter limit would start sooner, but a run that is cut short is lost.
        reasons.append(f"time limit {request.timelimit_s:.0f} s: as asked for")
        return request.timelimit_s
    prediction = recommendation.predictions.get("run_time_s") if recommendation else None
    if not prediction or not machine.scheduled:
        return None
    most = max(prediction.safe, *prediction.ladder) if prediction.ladder else 2 * prediction.safe
    reasons.append(f"time limit {most:.0f} s: the most generous figure of the recommendation; a run cut short is lost")
    return float(math.ceil(most))


def _gpus(
    request: JobRequest,
    recommendation: Recommendation | None,
    machine: Machine,
    reasons: list[str],
    *,
    adaptable: bool,
) -> int | None:
    prediction = recommendation.predictions.get("gpus") if recommendation else None
    asked = request.req_gpus
    gpus = asked
    if prediction and asked is not None and (wanted := math.ceil(prediction.safe)) < asked:
        if adaptable:
            gpus = wanted
            reasons.append(f"GPUs {wanted} in place of {asked}: jobs like this one used no more")
        else:
            reasons.append(f"GPUs {asked}: as asked for; jobs like this one used {wanted}")
    if gpus is not None and machine.gpus is not None and gpus > machine.gpus:
        reasons.append(f"GPUs cut to the {machine.gpus} of the machine")
        gpus = machine.gpus
    return gpus
