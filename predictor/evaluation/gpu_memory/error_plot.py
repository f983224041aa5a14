"""How far off each way to say GPU memory is, as a curve: the share of measured runs within an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from crowdrun.data.errors import OutputError

#: Name in the figures -> in the legend, and its line; those that say the same are drawn once.
_SHOWN: Mapping[str, tuple[str, str]] = {
    "learned": ("learned (families left out)", "-"),
    "forecast_affine": ("traced, and a line of what is reserved", "--"),
    "forecast": ("traced, nothing learned", "-."),
    "horus": ("Horus", ":"),
    "deepspeed": ("DeepSpeed", ":"),
    "parameters_x16": ("16 bytes a parameter, Hugging Face", ":"),
}
_LEAST_ERROR = 0.001


def plot_errors(figures: Mapping[str, Any], file: Path) -> None:
    """Into an SVG, PNG or PDF, from the figures of `bench_timm`.

    Raises:
        OutputError: it cannot be written.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    ways = {"learned": figures, **figures["rules"]}
    for name, (label, line) in _SHOWN.items():
        errors = ways[name]["error_quantiles"]
        shares = [(place + 1) / (len(errors) + 1) for place in range(len(errors))]
        axes.plot([max(error, _LEAST_ERROR) for error in errors], shares, line, label=label)
    axes.set_xscale("log")
    axes.set(
        xlim=(_LEAST_ERROR, 1.5), ylim=(0, 1), xlabel="off by at most (said / measured - 1)", ylabel="share of runs"
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    axes.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    axes.axhline(0.9, color="0.8", linewidth=0.8, zorder=0)
    axes.set_title(
        f"{figures['rows']:,} runs of {figures['models']:,} models in {figures['families']} families", fontsize="medium"
    )
    axes.legend(fontsize="small", loc="upper left")
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"cannot write {file}: {error}; name an .svg, .png or .pdf in a folder that is there"
        ) from error
