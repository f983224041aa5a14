"""A recommendation at a terminal."""

from io import StringIO

from rich.console import Console

from crowdrun.api.show import show_recommendation, waste_line
from crowdrun.data.explanation import Explanation
from crowdrun.data.job import JobRequest, Recommendation, TargetPrediction

MEMORY = TargetPrediction(
    target="mem_mb", quantiles={0.5: 900.0}, safe=1200.0, lean=1000.0, ladder=(2400.0,), members={},
    risk_curve=((0.0, 1.0), (900.0, 0.5), (1200.0, 0.05), (2048.0, 0.0001)), asked=1024.0,
)  # fmt: skip


def shown(recommendation: Recommendation) -> list[str]:
    stream = StringIO()
    show_recommendation(recommendation, Console(file=stream, width=120))
    return stream.getvalue().splitlines()


def test_the_risk_of_what_was_asked_for_stands_beside_it() -> None:
    row = next(
        line
        for line in shown(Recommendation(request=JobRequest(req_mem_mb=1024.0), risk=0.05, predictions={"a": MEMORY}))
        if "│" in line
    )
    assert "31%" in row


def test_why_is_told_once_and_what_is_missing_too() -> None:
    explanation = Explanation(
        member="boosted", levels=(), missing="xgboost is not installed here", counterfactuals=(),
        sentences=("host memory: under a new name: safe 2 GB instead of 1.2 GB.",),
    )  # fmt: skip
    lines = shown(
        Recommendation(
            request=JobRequest(), risk=0.05, predictions={}, explanations={"a": explanation, "b": explanation}
        )
    )
    assert lines.count("no attributions: xgboost is not installed here") == 1
    assert lines[0] == "why:"


def test_nothing_is_wasted_by_a_request_below_what_is_safe() -> None:
    asked = {"risk": 0.05, "predictions": {"mem_mb": MEMORY}}
    assert waste_line(Recommendation(request=JobRequest(req_mem_mb=1024.0), **asked)) is None  # type: ignore[arg-type]
    line = waste_line(Recommendation(request=JobRequest(req_mem_mb=9092.0), **asked))  # type: ignore[arg-type]
    assert line == "of the 8.9G asked for, 8G would most likely stay unused"
