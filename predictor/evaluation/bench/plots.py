"""The plots of the bench's page that a backtest does not have."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from crowdrun.predictor.evaluation.inline_svg import INKS, Draw, Frame

#: Kind of group -> ink and line.
_STYLES: Mapping[str, tuple[str, Any]] = {
    "user": ("member-2", "-"), "queue": ("mode", (0, (5, 2))), "family": ("crowd", (0, (1.5, 1.2))),
}  # fmt: skip
#: How far a group may stray from the promise.
ALLOWED = 0.03


def coverage_of_groups(groups: Sequence[Mapping[str, Any]], level: float) -> Draw:
    """The course of each group's coverage of one level, and the band in which it is to stay."""

    def draw(figure: Figure, frame: Frame) -> None:
        axes = figure.subplots()
        axes.axhspan(level - ALLOWED, min(level + ALLOWED, 1.0), color=INKS["muted"], alpha=0.14, linewidth=0)
        axes.axhline(level, color=INKS["muted"], linewidth=1)
        named: set[str] = set()
        for group in groups:
            kind = group["kind"]
            ink, line = _STYLES[kind]
            places, shares = zip(*group["course"], strict=True)
            label = "_" if kind in named else kind
            axes.plot(places, shares, color=INKS[ink], linestyle=line, linewidth=1.3, alpha=0.85, label=label)
            named.add(kind)
        lowest = min(share for group in groups for _, share in group["course"])
        axes.set(xlim=(0, 1), ylim=(min(lowest - 0.02, level - 0.1), 1.005))
        axes.set(xlabel="share of the judged jobs that had come", ylabel=f"covered at {level:.0%}")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncol=2 if frame.narrow else 3, handlelength=2.4)

    return draw
