"""Figures for plotly, as plain dictionaries: https://plotly.com/javascript/reference.

A colour is the name of a CSS variable (`--accent`): `charts.js` puts in what it is in light or dark, and all that the
charts share (font, grid, margins). plotly itself is never imported on the server.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from crowdrun.api.dashboard.words import TARGETS

Chart = dict[str, Any]
#: Colours of what is stacked, first to last, and of the rest.
SHADES = ("--shade-1", "--shade-2", "--shade-3", "--shade-4", "--shade-5")
REST = "--shade-rest"
_MS = 1000


def bars_over_time(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], figure: str, stretch_s: int, unit: str
) -> Chart:
    """Stacked bars. rows: of `Usage.over_time`; names: in the order of the stack, the first at the bottom.

    Names are escaped, since plotly reads some tags in them.
    """
    starts = sorted({row["start"] for row in rows})
    value = {(row["start"], row["name"]): row[figure] for row in rows}
    data = [
        {
            "type": "bar", "name": escape(name), "x": [(start + stretch_s / 2) * _MS for start in starts],
            "y": [value.get((start, name), 0.0) for start in starts], "width": stretch_s * _MS * 0.82,
            "marker": {"color": SHADES[place] if place < len(SHADES) else REST},
            "hovertemplate": "%{y:,.3~g} " + unit,
        }
        for place, name in enumerate(names)
    ]  # fmt: skip
    layout = {
        "barmode": "stack", "xaxis": {"type": "date"}, "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "hovermode": "x unified", "showlegend": True,
    }  # fmt: skip
    return {"data": data, "layout": layout}


def lines_over_time(rows: Sequence[Mapping[str, Any]], lines: Mapping[str, tuple[str, str]], unit: str) -> Chart:
    """lines: key of a row -> its name and its colour. rows: with `start`, UTC epoch seconds."""
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "name": name, "x": [row["start"] * _MS for row in rows],
            "y": [row[key] for row in rows], "line": {"color": colour, "width": 2.5}, "marker": {"size": 5},
            "hovertemplate": "%{y:,.3~g} " + unit,
        }
        for key, (name, colour) in lines.items()
    ]  # fmt: skip
    layout = {
        "xaxis": {"type": "date"}, "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "hovermode": "x unified", "showlegend": True,
    }  # fmt: skip
    return {"data": data, "layout": layout}


def accuracy(segments: Sequence[Mapping[str, Any]]) -> Chart:
    """Share of right memory classes by segment: mode, poll and crowd drawn strong, each learner thin."""
    strong = {"mode": "--violet", "poll": "--amber", "crowd": "--accent"}
    names = list(segments[0]["accuracy"]) if segments else []
    ordered = [name for name in names if name not in strong] + [name for name in names if name in strong]
    x = [f"{place}" for place in range(1, len(segments) + 1)]
    data = [
        {
            "type": "scatter", "mode": "lines+markers" if name in strong else "lines", "name": name, "x": x,
            "y": [segment["accuracy"][name] for segment in segments], "hovertemplate": "%{y:.1%}",
            "line": {"color": strong.get(name, "--line"), "width": 3 if name in strong else 1.2},
            "marker": {"size": 7},
        }
        for name in ordered
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "segment of the log, oldest first"}, "type": "category"}, "showlegend": True,
        "yaxis": {"tickformat": ".0%", "title": {"text": "right memory class"}}, "hovermode": "x unified",
        "legend": {"traceorder": "reversed"},
    }  # fmt: skip
    return {"data": data, "layout": layout}


def coverage(figures: Mapping[str, Sequence[Mapping[str, Any]]]) -> Chart:
    """Covered against promised, with 95% intervals; what is on the diagonal is kept to the letter."""
    colours = ("--accent", "--amber", "--violet", "--green", "--line")
    diagonal = {
        "type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "name": "promised", "hoverinfo": "skip",
        "line": {"color": "--muted", "dash": "dot", "width": 1.5},
    }  # fmt: skip
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "name": TARGETS.get(name, name),
            "x": [one["level"] for one in rows], "y": [one["value"] for one in rows],
            "error_y": {
                "type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": colour,
                "array": [(one["high"] or one["value"]) - one["value"] for one in rows],
                "arrayminus": [one["value"] - (one["low"] or one["value"]) for one in rows],
            },
            "line": {"color": colour, "width": 2}, "marker": {"size": 6},
            "hovertemplate": "promised %{x:.0%}, covered %{y:.1%}",
        }
        for (name, rows), colour in zip(figures.items(), colours, strict=False)
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "promised"}, "tickformat": ".0%", "range": [0, 1.02]}, "showlegend": True,
        "yaxis": {"title": {"text": "share of jobs within it"}, "tickformat": ".0%", "range": [0, 1.04]},
    }  # fmt: skip
    return {"data": [diagonal, *data], "layout": layout}


def over_segments(segments: Mapping[str, Sequence[Mapping[str, Any]]], promised: float) -> Chart:
    """Coverage of the watched level by segment of the log, one line a target."""
    colours = ("--accent", "--amber", "--violet", "--green", "--line")
    data = [
        {
            "type": "scatter", "mode": "lines+markers", "name": TARGETS.get(name, name),
            "x": [str(place) for place in range(1, len(rows) + 1)], "y": [row["covered"] for row in rows],
            "line": {"color": colour, "width": 2}, "marker": {"size": 6}, "hovertemplate": "%{y:.1%}",
        }
        for (name, rows), colour in zip(segments.items(), colours, strict=False)
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "segment of the log, oldest first"}, "type": "category"}, "showlegend": True,
        "yaxis": {"title": {"text": f"jobs within the {promised:.0%} level"}, "tickformat": ".0%"},
        "hovermode": "x unified",
        "shapes": [_line("y", promised, "--muted", dash="dot")],
    }  # fmt: skip
    return {"data": data, "layout": layout}


def series(points: Sequence[tuple[float, float]], *, x: str, y: str, levels: Mapping[str, tuple[float, str]]) -> Chart:
    """One line. levels: name -> a height to be marked, and its colour."""
    data = [
        {
            "type": "scatter", "mode": "lines", "x": [one for one, _ in points], "y": [one for _, one in points],
            "line": {"color": "--accent", "width": 2}, "fill": "tozeroy", "fillcolor": "--accent-soft",
            "hovertemplate": "%{y:,.4~g}", "showlegend": False, "name": y,
        }
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}, "rangemode": "tozero"}, "hovermode": "x",
        "shapes": [_line("y", height, colour, dash="dash") for height, colour in levels.values()],
        "annotations": [
            {"xref": "paper", "x": 1, "y": height, "xanchor": "right", "yanchor": "bottom", "text": name,
             "showarrow": False, "font": {"color": colour}}
            for name, (height, colour) in levels.items()
        ],
    }  # fmt: skip
    return {"data": data, "layout": layout}


def _line(axis: str, at: float, colour: str, *, dash: str = "solid") -> Chart:
    """A straight line over the whole plot, at one height or one place."""
    other = "x" if axis == "y" else "y"
    return {
        "type": "line", f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1, f"{axis}0": at, f"{axis}1": at,
        "line": {"color": colour, "width": 1.5, "dash": dash},
    }  # fmt: skip
