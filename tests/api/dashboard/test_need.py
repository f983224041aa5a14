"""The bars of a distribution are the steps of the risk curve, and nothing of it is lost."""

from dataclasses import replace

import pytest

from crowdrun.api.dashboard.need import BARS, LEFT_OUT, need_chart
from crowdrun.data.job import TargetPrediction

MEMORY = TargetPrediction(
    target="mem_mb", quantiles={0.5: 900.0}, safe=1800.0, lean=1100.0, ladder=(3600.0,), members={},
    risk_curve=((0.0, 1.0), (400.0, 0.995), (800.0, 0.6), (1000.0, 0.3), (1600.0, 0.05), (3000.0, 0.0001)),
)  # fmt: skip


def bars(prediction: TargetPrediction) -> tuple[list[float], list[float]]:
    chart = need_chart(prediction)
    assert chart
    (bar,) = chart["data"]
    return bar["x"], bar["y"]


def test_the_bars_sum_up_to_all_but_the_ends() -> None:
    places, heights = bars(MEMORY)
    assert len(places) == len(heights) == BARS
    assert sum(heights) == pytest.approx(1 - 2 * LEFT_OUT, abs=1e-6)


def test_the_bars_above_a_value_are_its_risk() -> None:
    chart = need_chart(MEMORY)
    assert chart
    (bar,) = chart["data"]
    edges = [place + width / 0.94 / 2 for place, width in zip(bar["x"], bar["width"], strict=True)]
    for place in (5, 20, 35):
        above = sum(bar["y"][place + 1 :]) + LEFT_OUT
        # The middle of a bar is that of its logarithms, a little left of that of its width.
        assert above == pytest.approx(MEMORY.risk_of(edges[place]), abs=0.02)


def test_a_request_has_a_line_and_the_axis_reaches_beyond_it() -> None:
    chart = need_chart(replace(MEMORY, asked=65536.0))
    assert chart
    lines = {shape["name"].strip(): shape["x0"] for shape in chart["layout"]["shapes"]}
    assert lines == {"safe": 1800.0, "lean": 1100.0, "your request": 65536.0}
    assert 10 ** chart["layout"]["xaxis"]["range"][1] > 65536


def test_gpus_are_counted_one_by_one_and_a_certain_number_needs_no_plot() -> None:
    curve = ((0.0, 0.8), (1.0, 0.3), (2.0, 0.002))
    counts = replace(MEMORY, target="gpus", safe=2.0, lean=1.0, risk_curve=curve)
    places, heights = bars(counts)
    assert places == [0, 1, 2]
    assert heights == pytest.approx([0.2, 0.5, 0.298])
    assert need_chart(replace(counts, safe=0.0, lean=0.0, risk_curve=((0.0, 0.001), (1.0, 0.0)))) is None
