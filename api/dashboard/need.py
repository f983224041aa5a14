"""The distribution of what a job needs, drawn from the risk curve that REST gives too.

The risk curve tells P(need > x) with straight lines between its points, so what lies between two values is the
difference of their risks: that is the height of a bar. Bars are equally wide on a logarithmic axis.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, floor, log2, log10
from typing import Any

from crowdrun.api.dashboard.charts import Chart
from crowdrun.api.dashboard.words import size
from crowdrun.data.job import TargetPrediction

BARS = 40
#: The part of the distribution that is drawn: but for so much on either side.
LEFT_OUT = 0.01
#: Room on both sides of the axis, as a factor.
ROOM = 1.25
MOST_TICKS = 7
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TIMES_S = (
    1, 2, 5, 10, 20, 30, *(_MINUTE * n for n in (1, 2, 5, 10, 20, 30)), *(_HOUR * n for n in (1, 2, 4, 8, 12)),
    *(_DAY * n for n in (1, 2, 4, 7, 14, 30)),
)  # fmt: skip


def need_chart(prediction: TargetPrediction) -> Chart | None:
    """Bars of the need; lines at what is safe (the first shape), lean and asked for. None where it is one number."""
    if prediction.target == "gpus":
        return _counts(prediction)
    edges = _edges(prediction)
    pairs = list(pairwise(edges))
    heights = [max(prediction.risk_of(low) - prediction.risk_of(high), 0.0) for low, high in pairs]
    lines = [value for value in (prediction.safe, prediction.lean, prediction.asked) if value]
    ends = min(edges[0], *lines) / ROOM, max(edges[-1], *lines) * ROOM
    bar = {
        "type": "bar", "x": [(low * high) ** 0.5 for low, high in pairs], "y": heights,
        "width": [(high - low) * 0.94 for low, high in pairs], "marker": {"color": "--accent"}, "showlegend": False,
        "customdata": [
            f"{size(prediction.target, low)} to {size(prediction.target, high)}: {height:.1%}"
            for (low, high), height in zip(pairs, heights, strict=True)
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
    }  # fmt: skip
    ticks = _ticks(prediction.target, *ends)
    axis = {
        "type": "log", "range": [log10(ends[0]), log10(ends[1])], "tickvals": ticks, "showgrid": False,
        "ticktext": [size(prediction.target, tick) for tick in ticks],
    }  # fmt: skip
    return {"data": [bar], "layout": _layout(axis, prediction, heights)}


def _counts(prediction: TargetPrediction) -> Chart | None:
    enough = next((value for value, risk in prediction.risk_curve if risk <= LEFT_OUT), 0.0)
    most = max(1, ceil(max(prediction.safe, prediction.asked or 0.0, enough)))
    numbers = list(range(min(most, BARS) + 1))
    before = [1.0, *(prediction.risk_of(number) for number in numbers)]
    heights = [max(before[number] - before[number + 1], 0.0) for number in numbers]
    if max(heights) > 1 - LEFT_OUT:
        return None
    bar = {
        "type": "bar", "x": numbers, "y": heights, "marker": {"color": "--accent"}, "showlegend": False,
        "hovertemplate": "%{x} GPUs: %{y:.1%}<extra></extra>",
    }  # fmt: skip
    return {"data": [bar], "layout": _layout({"dtick": max(1, most // MOST_TICKS)}, prediction, heights)}


def _layout(axis: dict[str, Any], prediction: TargetPrediction, heights: Sequence[float]) -> dict[str, Any]:
    shapes = [
        _mark(prediction.safe, "safe", "--ink", 1.0),
        _mark(prediction.lean, "lean", "--muted", 0.8, dash="dot"),
    ]
    if prediction.asked is not None:
        # To the left of its line where that is at the right end, so that it is not cut.
        anchor = "right" if prediction.asked > prediction.quantiles[0.5] else "left"
        shapes.append(_mark(prediction.asked, "your request ", "--request", 0.9, dash="dash", anchor=anchor))
    # Room above the bars for what is written at the lines.
    axis_y = {"tickformat": ".0%", "range": [0, 1.4 * max(heights)], "title": {"text": "share of such jobs"}}
    return {
        "xaxis": axis, "yaxis": axis_y,
        "shapes": shapes, "bargap": 0.04, "margin": {"t": 28},
    }  # fmt: skip


def _mark(
    value: float, name: str, colour: str, height: float, *, dash: str = "solid", anchor: str = "center"
) -> dict[str, Any]:
    return {
        "type": "line", "x0": value, "x1": value, "yref": "paper", "y0": 0, "y1": height, "name": name,
        "line": {"color": colour, "width": 2, "dash": dash},
        "label": {
            "text": name, "textposition": "end", "textangle": 0, "yanchor": "bottom", "xanchor": anchor,
            "font": {"color": colour},
        },
    }  # fmt: skip


def _edges(prediction: TargetPrediction) -> list[float]:
    low = max(_value_at(prediction, 1 - LEFT_OUT), 1e-3)
    high = max(_value_at(prediction, LEFT_OUT), low * 1.05)
    # From the left end on, so that the first bar holds what is below it.
    return [low * (high / low) ** (place / BARS) for place in range(BARS + 1)]


def _value_at(prediction: TargetPrediction, risk: float) -> float:
    """The value whose risk is this, by bisection on the curve."""
    low, high = 0.0, prediction.risk_curve[-1][0]
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if prediction.risk_of(middle) > risk else (low, middle)
    return high


def _ticks(target: str, low: float, high: float) -> Sequence[float]:
    of: Callable[[float, float], list[float]] = _memory_ticks if target in {"mem_mb", "gpu_mem_mb"} else _time_ticks
    inside = of(low, high)
    step = ceil(len(inside) / MOST_TICKS) or 1
    return inside[::step]


def _memory_ticks(low: float, high: float) -> list[float]:
    """Powers of two MB, and what is halfway where there are few."""
    whole = [2.0**k for k in range(ceil(log2(low)), floor(log2(high)) + 1)]
    if len(whole) > 2:
        return whole
    digits = 10.0 ** floor(log10(high - low))
    steps = next(step for step in (digits / 5, digits / 2, digits, 2 * digits) if (high - low) / step <= MOST_TICKS)
    return [steps * n for n in range(ceil(low / steps), floor(high / steps) + 1)]


def _time_ticks(low: float, high: float) -> list[float]:
    return [float(seconds) for seconds in _TIMES_S if low <= seconds <= high]
