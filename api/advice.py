"""One line for the person who submits a job: what was asked for, what similar jobs used, what keeps the risk low."""

from crowdrun.api.text import memory_text
from crowdrun.data.job import Evidence, Recommendation

MEMORY = "mem_mb"


def advice_line(recommendation: Recommendation) -> str | None:
    """The line that `csbatch` prints, or None when there is nothing to go on; per node when there are several.

    >>> from crowdrun.data.job import JobRequest, TargetPrediction
    >>> evidence = Evidence(shared="user and name", jobs=27, lowest=3150, median=3500, highest=4000, newest_time=0)
    >>> memory = TargetPrediction(
    ...     target=MEMORY, quantiles={0.5: 3500}, safe=4705.2, lean=4100, ladder=(), members={},
    ...     risk_curve=((0, 1), (4705.2, 0.04)), evidence=evidence)
    >>> advice_line(Recommendation(request=JobRequest(req_mem_mb=65536), risk=0.05, predictions={MEMORY: memory}))
    'asked 64G, similar jobs used 3.1G to 3.9G (27 runs); 4.6G keeps the out-of-memory risk under 5%'
    """
    memory = recommendation.predictions.get(MEMORY)
    if memory is None:
        return None
    nodes = recommendation.request.req_nodes or 1
    parts = []
    if recommendation.request.req_mem_mb is not None:
        parts.append(f"asked {memory_text(recommendation.request.req_mem_mb / nodes)}")
    if memory.evidence is not None:
        parts.append(_used(memory.evidence, nodes))
    per_node = " a node" if nodes > 1 else ""
    risk = f"keeps the out-of-memory risk under {recommendation.risk * 100:g}%"
    return "; ".join(
        part for part in (", ".join(parts), f"{memory_text(memory.safe / nodes)}{per_node} {risk}") if part
    )


def _used(evidence: Evidence, nodes: int) -> str:
    lowest, highest = (memory_text(mb / nodes, up=False) for mb in (evidence.lowest, evidence.highest))
    span = lowest if lowest == highest else f"{lowest} to {highest}"
    return f"similar jobs used {span} ({evidence.jobs} run{'s' * (evidence.jobs != 1)})"
