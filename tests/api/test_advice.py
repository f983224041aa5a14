"""The line is true to the figures that it tells."""

from typing import Any

import pytest

from crowdrun.api.advice import advice_line
from crowdrun.data.job import Evidence, JobRequest, Recommendation, TargetPrediction


def line(asked: float | None, safe: float, risk: float, nodes: int = 1, **evidence: Any) -> str | None:
    known: dict[str, Any] = {
        "shared": "user",
        "jobs": 6,
        "lowest": 890,
        "median": 892,
        "highest": 899,
        "newest_time": 0,
    }
    memory = TargetPrediction(
        target="mem_mb",
        quantiles={0.5: 892},
        safe=safe,
        lean=900,
        ladder=(),
        members={},
        risk_curve=((0, 1), (safe, risk), (8 * safe, 0)),
        evidence=Evidence(**known | evidence),
        asked=asked,
    )
    request = JobRequest(req_mem_mb=asked, req_nodes=nodes)
    return advice_line(Recommendation(request=request, risk=0.05, predictions={"mem_mb": memory}))


USED = "similar jobs used 890-899M (6 runs); "
IN_ALL = "asked 4G a node, similar jobs used 890-899M in all (6 runs); 1G a node "
UNDER = "keeps the out-of-memory risk under 5%"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (line(8000, 1000, 0.04), f"asked 7.9G, {USED}1000M {UNDER}"),
        (line(8000, 1000, 0.0601), f"asked 7.9G, {USED}1000M keeps the out-of-memory risk at 7%"),
        (line(880, 879.9, 0.23), f"asked 880M, {USED}that may be too little, the out-of-memory risk is 23%"),
        (line(None, 1000, 0.04, jobs=1, lowest=899), f"similar jobs used 899M (1 run); 1000M {UNDER}"),
        (line(None, 4000, 0.04, highest=3000), f"similar jobs used 890M-2.9G (6 runs); 4G {UNDER}"),
        (line(8192, 2048, 0.04, nodes=2), IN_ALL + UNDER),
    ],
)
def test_the_line_says_what_the_figures_say(told: str, expected: str) -> None:
    assert told == expected


def test_without_a_prediction_there_is_no_line() -> None:
    assert advice_line(Recommendation(request=JobRequest(), risk=0.05, predictions={})) is None
