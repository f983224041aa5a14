"""SVG for a page: drawn by matplotlib, with the colours and the font of the page that shows it, light or dark.

Matplotlib draws with stand-in colours; `_inline` turns them into CSS variables (`INKS`) that the page defines. Every
plot is drawn twice, wide and narrow, each with text of a readable size; the page shows the one that fits.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

#: Name -> stand-in colour; the page defines `--NAME` for light and dark.
INKS: dict[str, str] = {
    "ink": "#010101", "muted": "#010102", "grid": "#010103", "paper": "#010104",
    "crowd": "#010105", "poll": "#010106", "mode": "#010107", "rule": "#010108", "request": "#010109",
    "member-1": "#01010a", "member-2": "#01010b", "member-3": "#01010c", "member-4": "#01010d",
    "member-5": "#01010e", "member-6": "#01010f",
}  # fmt: skip
_STYLE: Any = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 12, "axes.labelsize": 12, "xtick.labelsize": 11,
    "ytick.labelsize": 11, "legend.fontsize": 11, "legend.frameon": False, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": INKS["muted"], "axes.labelcolor": INKS["ink"],
    "text.color": INKS["ink"], "xtick.color": INKS["muted"], "ytick.color": INKS["muted"],
    "xtick.labelcolor": INKS["ink"], "ytick.labelcolor": INKS["ink"], "axes.grid": True, "grid.color": INKS["grid"],
    "grid.linewidth": 0.8, "axes.axisbelow": True, "axes.facecolor": "none", "figure.facecolor": "none",
    "xtick.minor.size": 0, "ytick.minor.size": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One plot in two widths, as SVG elements."""

    wide: str
    narrow: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The room for a plot, in inches of 72 points."""

    width: float
    height: float

    @property
    def narrow(self) -> bool:
        return self.width < 6


Draw = Callable[[Figure, Frame], None]


def render(name: str, alt: str, draw: Draw, *, wide: Frame, narrow: Frame) -> Plot:
    """name: of the plot, for ids that are its own. alt: what a reader who does not see it is told."""
    return Plot(wide=_svg(f"{name}-wide", alt, draw, wide), narrow=_svg(f"{name}-narrow", alt, draw, narrow))


def _svg(name: str, alt: str, draw: Draw, frame: Frame) -> str:
    file = io.StringIO()
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # Letters that matplotlib's own font lacks are drawn with the reader's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(frame.width, frame.height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure, frame)
        figure.savefig(file, format="svg", transparent=True)
    return _inline(file.getvalue(), name, alt)


#: How the ids begin that matplotlib gives to the parts of a figure.
_NAMED = "figure|axes|patch|line2d|text|matplotlib|legend|xtick|ytick|PathCollection|FillBetween|PolyCollection"


def _inline(svg: str, name: str, alt: str) -> str:
    """An <svg> for a page: no prologue, no metadata, no names of hosts, colours and font from the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    # The size and the weight of a text, without the family; matplotlib writes them together or apart.
    svg = re.sub(r"font: (\d+ )?([\d.]+)px [^;\"]*", lambda font: _font(font[1], font[2]), svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    # Ids that nothing refers to, and that both widths would share.
    svg = re.sub(rf' id="(?:{_NAMED})[^"]*"', "", svg)
    for ink, colour in INKS.items():
        svg = svg.replace(colour, f"var(--{ink})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" data-plot="{name}" ', 1)


def _font(weight: str | None, size: str) -> str:
    return f"font-size: {size}px" + (f"; font-weight: {weight.strip()}" if weight else "")
