"""The plots of a backtest's report: accuracy by segment, coverage, wastage against failures, the largest wasters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from crowdrun.predictor.evaluation.inline_svg import INKS, Draw, Frame
from crowdrun.predictor.quantiles import logit

_MEMBER_INKS = [name for name in INKS if name.startswith("member-")]
#: Members are told apart by their line too, not by colour alone.
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1.5)), (0, (8, 2, 1.5, 2, 1.5, 2)))


def _percent_axis(axes: Axes, which: str) -> None:
    getattr(axes, f"{which}axis").set_major_formatter(lambda value, _: f"{value:.0%}")


def _legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=columns, columnspacing=1.4, handlelength=2.2)


def _member_style(place: int) -> dict[str, Any]:
    return {
        "color": INKS[_MEMBER_INKS[place % len(_MEMBER_INKS)]],
        "linestyle": _DASHES[place % len(_DASHES)],
        "linewidth": 1.5,
    }


def accuracy(segments: Mapping[str, Sequence[float | None]]) -> Draw:
    """Name -> accuracy in each segment, None where it has no jobs: mode, poll and crowd strong, the learners thin."""
    shares = {name: np.array(one, dtype=np.float64) for name, one in segments.items()}

    def draw(figure: Figure, frame: Frame) -> None:
        axes = figure.subplots()
        leaders = [name for name in ("crowd", "poll", "mode") if name in shares]
        learners = [name for name in shares if name not in leaders]
        for place, name in enumerate(learners):
            axes.plot(range(1, len(shares[name]) + 1), shares[name], label=name, **_member_style(place))
        for name, marker in zip(leaders, "osD", strict=False):
            axes.plot(
                range(1, len(shares[name]) + 1), shares[name], label=name, color=INKS[name], linewidth=2.6,
                marker=marker, markersize=7, markeredgecolor=INKS["paper"], zorder=3,
            )  # fmt: skip
        axes.set(
            ylim=(0, 1),
            xticks=range(1, 1 + max(map(len, shares.values()))),
            xlabel="segment of the log, oldest first",
        )
        axes.set_ylabel("right memory class")
        axes.grid(visible=False, axis="x")
        _percent_axis(axes, "y")
        _legend_below(figure, axes, 3 if frame.narrow else 5)

    return draw


_COVERAGE_TICKS = np.array([0.05, 0.5, 0.95, 0.995])


def coverage_rows(panels: int, *, narrow: bool) -> int:
    """How many rows of panels there are: three abreast where there is room."""
    return panels if narrow else -(-panels // 3)


def coverage(targets: Mapping[str, Mapping[str, Any]]) -> Draw:
    """Target -> levels, raw and calibrated shares (value, low, high): one reliability diagram each, on logit axes."""

    def draw(figure: Figure, frame: Frame) -> None:
        rows = coverage_rows(len(targets), narrow=frame.narrow)
        columns = -(-len(targets) // rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(targets) :]:
            axes.remove()
        ends = np.array([0.01, 0.9992])
        for axes, (name, one) in zip(panels, targets.items(), strict=False):
            promised = logit(np.array(one["levels"]))
            shares = {
                kind: {
                    end: _clipped_logit([share[end] for share in one[kind]], ends) for end in ("value", "low", "high")
                }
                for kind in ("raw", "calibrated")
            }
            axes.plot(logit(ends), logit(ends), color=INKS["muted"], linewidth=1, label="as promised")
            axes.fill_between(
                promised, shares["calibrated"]["low"], shares["calibrated"]["high"], color=INKS["crowd"], alpha=0.16,
                linewidth=0,
            )  # fmt: skip
            axes.plot(
                promised, shares["raw"]["value"], color=INKS["mode"], linewidth=1.5, linestyle=(0, (4, 2)), marker="o",
                markersize=4, markerfacecolor="none", label="crowd, raw",
            )  # fmt: skip
            axes.plot(
                promised, shares["calibrated"]["value"], color=INKS["crowd"], linewidth=2.4, marker="o", markersize=5.5,
                markeredgecolor=INKS["paper"], label="crowd, calibrated",
            )  # fmt: skip
            ticks, labels = logit(_COVERAGE_TICKS), [f"{tick * 100:g}%" for tick in _COVERAGE_TICKS]
            axes.set_xticks(ticks, labels)
            axes.set_yticks(ticks, labels)
            axes.set(xlim=logit(ends), ylim=logit(ends), title=name, xlabel="promised", ylabel="covered")
            axes.title.set_fontsize(12)
        _legend_below(figure, panels[0], 2 if frame.narrow else 3)

    return draw


def _clipped_logit(shares: Sequence[float | None], ends: Any) -> Any:
    """A share of all or none has no logit: it is drawn at the edge."""
    known = np.array([np.nan if share is None else share for share in shares], dtype=np.float64)
    return logit(np.clip(known, *ends))


#: From this ratio of the largest to the smallest on, wastage is drawn on a logarithmic axis.
_FAR_APART = 5.0
_WASTE_TICKS = np.outer(10.0 ** np.arange(-4, 5), [1, 2, 5]).ravel()


def _log_if_far_apart(axes: Axes) -> None:
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for line in axes.get_lines()])
    if not drawn.min() > 0 or drawn.max() / drawn.min() < _FAR_APART:
        return
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_yticks(_WASTE_TICKS[(low <= _WASTE_TICKS) & (high >= _WASTE_TICKS)])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One allocation in the plane of failures and wastage."""

    label: str
    failures: float
    waste_gbh: float
    ink: str


_FAILURE_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def wastage(curves: Mapping[str, Sequence[Mapping[str, float]]], points: Sequence[Point], jobs: int) -> Draw:
    """Curves of the crowd and each learner; the points numbered, their names are the page's to give."""
    divisor, unit = _scale([point.waste_gbh for point in points])
    #: Nothing failed: drawn at half a job, where a logarithm can be taken.
    fewest = 0.5 / jobs

    def draw(figure: Figure, frame: Frame) -> None:
        axes = figure.subplots()
        learners = [name for name in curves if name != "crowd"]
        for name in (*learners, "crowd"):
            failures = [max(point["first_attempt_failures"], fewest) * 100 for point in curves[name]]
            wasted = [point["waste_gbh"] / divisor for point in curves[name]]
            strong = {"color": INKS["crowd"], "linewidth": 2.6, "marker": "o", "markersize": 4, "zorder": 3}
            style = strong if name == "crowd" else _member_style(learners.index(name))
            axes.plot(failures, wasted, label="crowd, calibrated" if name == "crowd" else name, **style)
        # The first on top: where many lie close, the crowd's are seen.
        for number, point in reversed(list(enumerate(points, 1))):
            place = (max(point.failures, fewest) * 100, point.waste_gbh / divisor)
            axes.plot(
                *place, marker="o", markersize=15, color=INKS[point.ink], markeredgecolor=INKS["paper"],
                markeredgewidth=1.5, zorder=4, linestyle="none",
            )  # fmt: skip
            axes.annotate(
                str(number),
                place,
                ha="center",
                va="center_baseline",
                color=INKS["paper"],
                fontsize=10 if number < 10 else 8.5,
                fontweight="bold",
                zorder=5,
            )
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xticks([tick for tick in _FAILURE_TICKS if low <= tick <= high])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}%")
        axes.set(xlabel="first attempts that fail", ylabel=f"wasted, {unit}")
        _log_if_far_apart(axes)
        _legend_below(figure, axes, 3 if frame.narrow else 4)

    return draw


def wasters(users: Sequence[Mapping[str, Any]]) -> Draw:
    """Users with `waste_gbh_request` and `waste_gbh_safe`, the largest first."""
    divisor, unit = _scale([user["waste_gbh_request"] for user in users])

    def draw(figure: Figure, _: Frame) -> None:
        axes = figure.subplots()
        place = np.arange(len(users))
        for shift, key, ink, label in (
            (-0.2, "waste_gbh_request", "request", "own request"),
            (0.2, "waste_gbh_safe", "crowd", "crowd, safe"),
        ):
            wasted = [user[key] for user in users]
            bars = axes.barh(
                place + shift, [value / divisor for value in wasted], height=0.36, color=INKS[ink], label=label
            )
            axes.bar_label(bars, [amount(value) for value in wasted], padding=4, fontsize=10, color=INKS["ink"])
        axes.set_yticks(place, [_short(user["user"]) for user in users])
        axes.invert_yaxis()
        axes.margins(x=0.14)
        axes.set_xlabel(f"wasted, {unit}")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        _legend_below(figure, axes, 2)

    return draw


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


_SIZES = ((1e6, "M", "million GB·h"), (1e3, "k", "thousand GB·h"))


def _scale(values: Sequence[float]) -> tuple[float, str]:
    """What to divide by so that figures stay short, and the unit that results."""
    largest = max(values, default=0.0)
    return next(((size, unit) for size, _, unit in _SIZES if largest >= size), (1.0, "GB·h"))


def amount(gbh: float) -> str:
    """GB·h in three figures.

    >>> [amount(value) for value in (2096000.0, 485_000.0, 12.0)] == ["2.10\\xa0M", "485\\xa0k", "12.0"]
    True
    """
    size, letter = next(
        ((size, f"\N{NO-BREAK SPACE}{letter}") for size, letter, _ in _SIZES if abs(gbh) >= size), (1.0, "")
    )
    return f"{gbh / size:#.3g}".rstrip(".") + letter
