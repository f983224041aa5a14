"""What the benches of the runner show: tables on the terminal, plots in a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from crowdrun.data.errors import OutputError
from crowdrun.training.bench.scaling import KINDS

#: On CPUs, said beside every figure.
CPU_NOTE = "measured on CPUs that may be shared: the figures show the shape, not what GPUs would take"


def show_comparison(figures: Mapping[str, Any], console: Console) -> None:
    """A row a strategy, and why others are missing."""
    table = Table()
    for title in ("strategy", "step", "sent a step and rank", "peak memory of the ranks", "largest difference"):
        table.add_column(title, justify="left" if title == "strategy" else "right")
    for name, one in figures["strategies"].items():
        held = ", ".join(f"{mb:.0f}" for mb in one["peak_mem_mb"])
        sent = f"{one['bytes_per_step'] / 1000:,.1f} kB"
        table.add_row(name, f"{one['step_s'] * 1000:.1f} ms", sent, f"{held} MB", f"{one['max_abs_diff']:.1e}")
    console.print(table)
    for name, why in figures["skipped"].items():
        console.print(f"{name}: {why}", markup=False, soft_wrap=True)
    console.print(CPU_NOTE, markup=False)


def plot_comparison(figures: Mapping[str, Any], file: Path) -> None:
    """Step time, bytes and memory as bars, into an SVG, PNG or PDF.

    Raises:
        OutputError: it cannot be written.
    """
    names = list(figures["strategies"])
    shown = {
        "step, ms": [one["step_s"] * 1000 for one in figures["strategies"].values()],
        "sent a step and rank, kB": [one["bytes_per_step"] / 1000 for one in figures["strategies"].values()],
        "peak memory of a rank, MB": [max(one["peak_mem_mb"]) for one in figures["strategies"].values()],
    }
    figure = Figure(figsize=(11, 0.3 * len(names) + 1.2), layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 3, sharey=True), shown.items(), strict=True):
        axes.barh(names, values)
        axes.set_title(title, fontsize="medium")
        axes.invert_yaxis()
    _save(figure, file)


def show_depth(figures: Mapping[str, Any], console: Console) -> None:
    """What a step takes and holds, and how the loss falls."""
    held = ", ".join(f"{mb:.0f} MB" for mb in figures["peak_mem_mb"])
    where = "one process" if figures["stages"] == 1 else f"{figures['stages']} pipeline stages"
    console.print(f"{figures['layers']} layers in {where}: {figures['step_s']:.1f} s a step, peak memory {held}")
    console.print(f"loss of each step: {', '.join(f'{loss:.4f}' for loss in figures['losses'])}")
    console.print(CPU_NOTE, markup=False)


def show_batches(figures: Mapping[str, Any], console: Console) -> None:
    """A row a batch size, and the knee."""
    table = Table()
    for title in ("batch", "step", "samples/s", "peak memory"):
        table.add_column(title, justify="right")
    for one in figures["batches"]:
        cells = (f"{one['step_s'] * 1000:.1f} ms", f"{one['samples_per_s']:.0f}", f"{one['peak_mem_mb']:.0f} MB")
        table.add_row(str(one["batch_size"]), *cells)
    console.print(table)
    console.print(f"little is gained above a batch of {figures['knee']}")
    console.print(CPU_NOTE, markup=False)


def plot_batches(figures: Mapping[str, Any], file: Path) -> None:
    """Samples a second against the batch size.

    Raises:
        OutputError: it cannot be written.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    sizes = [one["batch_size"] for one in figures["batches"]]
    axes.semilogx(sizes, [one["samples_per_s"] for one in figures["batches"]], "o-", base=2)
    axes.axvline(figures["knee"], linestyle=":")
    axes.set(xlabel="batch size", ylabel="samples/s", ylim=(0, None))
    _save(figure, file)


def show_scaling(figures: Mapping[str, Any], console: Console) -> None:
    """A row for each kind and number of ranks."""
    table = Table()
    for title in ("", "ranks", "batch", "step", "samples/s", "speedup", "efficiency"):
        table.add_column(title, justify="right")
    for kind in KINDS:
        for one in figures[kind]:
            table.add_row(
                kind, str(one["ranks"]), str(one["batch_size"]), f"{one['step_s'] * 1000:.1f} ms",
                f"{one['samples_per_s']:.0f}", f"{one['speedup']:.2f}", f"{one['efficiency']:.0%}",
            )  # fmt: skip
    console.print(table)
    console.print(CPU_NOTE, markup=False)


def plot_scaling(figures: Mapping[str, Any], file: Path) -> None:
    """Speedup against ranks, strong and weak, beside the ideal.

    Raises:
        OutputError: it cannot be written.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for kind in KINDS:
        axes.plot([one["ranks"] for one in figures[kind]], [one["speedup"] for one in figures[kind]], "o-", label=kind)
    ranks = [one["ranks"] for one in figures[KINDS[0]]]
    axes.plot(ranks, ranks, ":", label="ideal")
    axes.set(xlabel="ranks", ylabel="speedup", ylim=(0, None))
    axes.legend()
    _save(figure, file)


def show_accuracy(figures: Mapping[str, Any], console: Console) -> None:
    """A row a training: how long it took to the target, or that it did not reach it."""
    table = Table()
    for title in ("", "division", "ranks", "batch", "rate", "epochs", "training", figures["score"]):
        table.add_column(title, justify="right")
    for one in figures["runs"]:
        took = f"{one['train_s']:.1f} s"
        table.add_row(
            one["kind"], one["division"], str(one["ranks"]), str(one["batch_size"]), f"{one['learning_rate']:g}",
            str(one["epochs"]), took if one["reached"] else f"not in {took}", f"{one['curve'][-1]['score']:.2%}",
        )  # fmt: skip
    console.print(table)
    console.print(f"the target is {figures['target']:.2%}; one rank is trained once, there is nothing to divide")
    console.print(CPU_NOTE, markup=False)


def plot_accuracy(figures: Mapping[str, Any], file: Path) -> None:
    """The score against the time of the training, a curve a run.

    Raises:
        OutputError: it cannot be written.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for one in figures["runs"]:
        label = f"{one['ranks']} rank(s)" + (f", {one['kind']}, {one['division']}" if one["ranks"] > 1 else "")
        axes.plot([p["train_s"] for p in one["curve"]], [p["score"] for p in one["curve"]], ".-", label=label)
    axes.axhline(figures["target"], linestyle=":", color="gray")
    axes.set(xlabel="seconds of training", ylabel=f"{figures['score']} on the test set")
    axes.legend(fontsize="small")
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write the plot to {file}: {error}; name an .svg, .png or .pdf") from error
