"""An icicle plot of where the memory of a forecast is: a level of modules a row, as wide as it holds bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crowdrun.api.text import memory_text
from crowdrun.data.errors import ConfigError, OutputError
from crowdrun.data.forecast import Forecast, ModuleMemory

#: Ending of the file -> how it is drawn.
IMAGES, PAGES = (".png", ".svg", ".pdf"), (".html",)
#: Narrower than this share of the plot nothing is drawn.
_LEAST_SHARE = 0.002


def plot_forecast(forecast: Forecast, file: Path) -> None:
    """Write the plot; an .html page answers to the pointer.

    Raises:
        ConfigError: the file's ending is none that can be drawn.
        OutputError: the file cannot be written.
    """
    ending = file.suffix.lower()
    if ending not in IMAGES + PAGES:
        raise ConfigError(f"cannot draw {file}; its name must end in {', '.join(IMAGES + PAGES)}")
    try:
        (_page if ending in PAGES else _image)(forecast, file)
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}; give --plot another place") from error


def boxes(node: ModuleMemory, start: float = 0.0, level: int = 0) -> Iterator[tuple[int, float, ModuleMemory]]:
    """(level, left edge in bytes, module) of every module that holds anything."""
    yield level, start, node
    start += sum(node.own.values())
    for child in node.children:
        if child.nbytes:
            yield from boxes(child, start, level + 1)
            start += child.nbytes


def _image(forecast: Forecast, file: Path) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    total = forecast.tree.nbytes
    drawn = [box for box in boxes(forecast.tree) if box[2].nbytes > total * _LEAST_SHARE]
    levels = 1 + max(level for level, _, _ in drawn)
    figure = Figure(figsize=(12, 0.6 * levels + 1), layout="constrained")
    axes = figure.subplots()
    colours: Any = colormaps["tab20"]
    for level, start, node in drawn:
        axes.barh(
            -level, node.nbytes, left=start, height=0.95, color=colours(hash_of(node.kind) % 20), edgecolor="white"
        )
        if node.nbytes > total * 0.05:
            text = f"{node.name or node.kind}\n{memory_text(node.nbytes / 2**20, up=False)}"
            axes.text(start + node.nbytes / 2, -level, text, ha="center", va="center", fontsize=7, clip_on=True)
    axes.set(xlim=(0, total), yticks=[], xticks=[], title=_title(forecast))
    for side in axes.spines.values():
        side.set_visible(False)
    figure.savefig(file)


def _page(forecast: Forecast, file: Path) -> None:
    import plotly.graph_objects as go  # type: ignore[import-untyped]

    labels, parents, values, ids, texts = [], [], [], [], []
    path: list[str] = []
    for depth, node in forecast.tree.walk():
        if node.nbytes <= forecast.tree.nbytes * _LEAST_SHARE:
            path[depth:] = [""]
            continue
        parent = path[depth - 1] if depth else ""
        path[depth:] = [f"{parent}/{node.name or node.kind}"]
        ids.append(path[depth])
        parents.append(parent)
        labels.append(" ".join(word for word in (node.name, node.kind) if word))
        values.append(node.nbytes / 2**20)
        texts.append("<br>".join(f"{part.replace('_', ' ')}: {size / 2**20:.1f} MB" for part, size in node.own.items()))
    figure = go.Figure(
        go.Icicle(
            ids=ids, labels=labels, parents=parents, values=values, branchvalues="total", hovertext=texts,
            tiling={"orientation": "v"}, texttemplate="%{label}<br>%{value:.0f} MB",
        )
    )  # fmt: skip
    figure.update_layout(title=_title(forecast), margin={"t": 50, "l": 10, "r": 10, "b": 10})
    figure.write_html(file)


def hash_of(word: str) -> int:
    """A number that is the same for the same word in every run.

    >>> hash_of("Conv2d")
    556
    """
    return sum(map(ord, word))


def _title(forecast: Forecast) -> str:
    return (
        f"{memory_text(forecast.allocated_mb)} allocated at the peak "
        f"({forecast.peak_phase}, step {forecast.peak_step}); without workspaces"
    )
