"""What `csbatch` is told of a job: one line for the person who submits, and the figures that it may set."""

import math

from crowdrun.api.text import memory_text
from crowdrun.data.job import Evidence, Recommendation, TargetPrediction

MEMORY = "mem_mb"


def advice_line(recommendation: Recommendation) -> str | None:
    """The line that `csbatch` prints, or None when there is nothing to go on; per node when there are several.

    >>> from crowdrun.data.job import JobRequest, TargetPrediction
    >>> evidence = Evidence(shared="user and name", jobs=27, lowest=3150, median=3500, highest=4000, newest_time=0)
    >>> memory = TargetPrediction(
    ...     target=MEMORY, quantiles={0.5: 3500}, safe=4705.2, lean=4100, ladder=(), members={},
    ...     risk_curve=((0, 1), (4705.2, 0.04)), evidence=evidence, asked=65536)
    >>> advice_line(Recommendation(request=JobRequest(req_mem_mb=65536), risk=0.05, predictions={MEMORY: memory}))
    'asked 64G, similar jobs used 3.1-3.9G (27 runs); 4.6G keeps the out-of-memory risk under 5%'
    """
    return "; ".join(part for part in (_host(recommendation), _gpu(recommendation)) if part) or None


def _gpu(recommendation: Recommendation) -> str | None:
    forecast = recommendation.network_forecast
    if forecast is None:
        return None
    return f"{forecast.network} needs {memory_text(forecast.device_mb)} of a GPU by forecast"


def _host(recommendation: Recommendation) -> str | None:
    memory = recommendation.predictions.get(MEMORY)
    if memory is None:
        return None
    nodes = recommendation.request.req_nodes or 1
    seen = []
    if recommendation.request.req_mem_mb is not None:
        seen.append(f"asked {memory_text(recommendation.request.req_mem_mb / nodes)}{' a node' * (nodes > 1)}")
    if memory.evidence is not None:
        seen.append(_used(memory.evidence, nodes))
    return "; ".join(part for part in (", ".join(seen), _said(memory, nodes, recommendation.risk)) if part)


def _said(memory: TargetPrediction, nodes: int, risk: float) -> str:
    per_node = " a node" if nodes > 1 else ""
    figure = f"{memory_text(memory.safe / nodes)}{per_node}"
    if memory.asked_risk is not None and memory.asked_risk > risk:
        # `safe` never exceeds the request: here the request itself is what is too small.
        return f"that may be too little, the out-of-memory risk is {_percent(memory.asked_risk)}"
    if memory.safe_risk > risk:
        return f"{figure} keeps the out-of-memory risk at {_percent(memory.safe_risk)}"
    return f"{figure} keeps the out-of-memory risk under {risk * 100:g}%"


def _percent(risk: float) -> str:
    """Rounded up: a promise."""
    return f"{math.ceil(risk * 100 - 1e-9)}%"


def _used(evidence: Evidence, nodes: int) -> str:
    # Of how many nodes the others were is not known: their memory is told in all.
    lowest, highest = (memory_text(mb, up=False) for mb in (evidence.lowest, evidence.highest))
    # The unit is written once where it is the same.
    start = lowest[:-1] if lowest[-1] == highest[-1] else lowest
    span = lowest if lowest == highest else f"{start}-{highest}"
    in_all = " in all" if nodes > 1 else ""
    return f"similar jobs used {span}{in_all} ({evidence.jobs} run{'s' * (evidence.jobs != 1)})"
