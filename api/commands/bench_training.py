"""`crowdrun bench compare`, `batch`, `scaling`, `accuracy` and `depth`: ways of training, measured on this machine."""

from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from crowdrun.api.json_file import write_json
from crowdrun.api.progress import progress_bar
from crowdrun.api.runs.task_options import task_options
from crowdrun.api.runs.training_bench import (
    plot_accuracy,
    plot_batches,
    plot_comparison,
    plot_scaling,
    show_accuracy,
    show_batches,
    show_comparison,
    show_depth,
    show_scaling,
)
from crowdrun.data.task import TrainingOptions
from crowdrun.training.bench import compare as comparison
from crowdrun.training.bench.accuracy import to_target
from crowdrun.training.bench.batch import by_batch_size
from crowdrun.training.bench.depth import depth as measured_depth
from crowdrun.training.bench.launch import Measurement, threads_of
from crowdrun.training.bench.scaling import by_ranks
from crowdrun.training.models.table import BUILT_IN, task_named
from crowdrun.training.strategies.settings import StrategySpec

_JSON = click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write every figure.")


_MODEL = click.option("--model", type=click.Choice(list(BUILT_IN)), default="lenet", show_default=True)
_STEPS = click.option(
    "--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Steps, after 3 to warm up."
)
_BATCH = click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
_PLOT = click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="A plot: .svg, .png or .pdf.")


@click.command()
@click.option("--ranks", type=click.IntRange(min=2), default=2, show_default=True, help="Processes.")
@_MODEL
@_STEPS
@_BATCH
@click.option(
    "--strategy", "ways", multiple=True, type=click.Choice(list(comparison.WAYS)),
    help="One alone, beside the single process; may be repeated.",
)  # fmt: skip
@_PLOT
@_JSON
def compare(
    ranks: int,
    model: str,
    steps: int,
    batch_size: int,
    ways: tuple[str, ...],
    plot: Path | None,
    json_file: Path | None,
) -> None:
    """Strategies side by side: time of a step, bytes on the wire, memory, and how far they are from one process.

    The same task, seed and samples for all, by plain SGD with momentum; --batch-size is that of all ranks together.
    """
    plain = _measurement(model, ranks=ranks, steps=steps, batch_size=batch_size, compare=True)
    with progress_bar("compare") as progress:
        figures = comparison.compare(plain, ways=ways or tuple(comparison.WAYS), progress=progress)
    show_comparison(figures, Console(highlight=False))
    if plot:
        plot_comparison(figures, plot)
    if json_file:
        write_json(json_file, {"model": model, "ranks": ranks, "steps": steps, "batch_size": batch_size, **figures})


@click.command()
@_MODEL
@_STEPS
@click.option("--largest", type=click.IntRange(min=2), default=256, show_default=True, help="From 1 on by doubling.")
@_PLOT
@_JSON
def batch(model: str, steps: int, largest: int, plot: Path | None, json_file: Path | None) -> None:
    """Samples a second against the batch size, in one process, and where the curve bends."""
    sizes = [2**power for power in range(largest.bit_length()) if 2**power <= largest]
    plain = _measurement(model, ranks=1, steps=steps, batch_size=1, compare=False)
    with progress_bar("batch") as progress:
        figures = by_batch_size(plain, batch_sizes=sizes, progress=progress)
    show_batches(figures, Console(highlight=False))
    if plot:
        plot_batches(figures, plot)
    if json_file:
        write_json(json_file, {"model": model, "steps": steps, **figures})


@click.command()
@click.option("--ranks", type=click.IntRange(min=2), default=2, show_default=True, help="The most; from 1 by doubling.")
@_MODEL
@_STEPS
@_BATCH
@_PLOT
@_JSON
def scaling(ranks: int, model: str, steps: int, batch_size: int, plot: Path | None, json_file: Path | None) -> None:
    """Speedup and efficiency against ranks: strong (--batch-size divided) and weak (--batch-size on each rank)."""
    numbers = [2**power for power in range(ranks.bit_length()) if 2**power <= ranks]
    plain = _measurement(model, ranks=ranks, steps=steps, batch_size=batch_size, compare=False)
    with progress_bar("scaling") as progress:
        figures = by_ranks(plain, ranks=numbers, progress=progress)
    show_scaling(figures, Console(highlight=False))
    if plot:
        plot_scaling(figures, plot)
    if json_file:
        write_json(json_file, {"model": model, "steps": steps, **figures})


@click.command()
@click.option("--ranks", type=click.IntRange(min=2), default=2, show_default=True, help="The most; from 1 by doubling.")
@_MODEL
@click.option("--target", type=float, default=0.9, show_default=True, help="Of the task's score on the test set.")
@click.option("--epochs", type=click.IntRange(min=1), default=30, show_default=True, help="The most.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Of one rank; that which suits the model without it.")
@click.option("--option", "extra", multiple=True, metavar="KEY=VALUE", help="One of the task's [options].")
@_PLOT
@_JSON
def accuracy(
    ranks: int,
    model: str,
    target: float,
    epochs: int,
    batch_size: int | None,
    extra: tuple[str, ...],
    plot: Path | None,
    json_file: Path | None,
) -> None:
    """Time to a target accuracy (of a segmentation: IoU) against ranks: strong and weak, shuffled and non-overlapping.

    The training ends when the test set has the score; with the options that suit the model.
    """
    numbers = [2**power for power in range(ranks.bit_length()) if 2**power <= ranks]
    task = task_named(model, task_options(extra))
    given = {**task.training, "epochs": epochs} | ({"batch_size": batch_size} if batch_size else {})
    plain = replace(
        _measurement(model, ranks=ranks, steps=1, batch_size=1, compare=False),
        options=TrainingOptions(**given, extra=task.options),
    )
    with progress_bar("accuracy") as progress:
        figures = to_target(plain, target=target, ranks=numbers, progress=progress)
    show_accuracy(figures, Console(highlight=False))
    if plot:
        plot_accuracy(figures, plot)
    if json_file:
        write_json(json_file, {"model": model, **figures})


@click.command()
@click.option("--layers", type=click.IntRange(min=2), default=16_000, show_default=True, help="Convolutions in blocks.")
@click.option(
    "--stages", type=click.IntRange(min=1), default=1, show_default=True, help="Of a pipeline; 1: one process."
)
@click.option("--steps", type=click.IntRange(min=1), default=3, show_default=True)
@_JSON
def depth(layers: int, stages: int, steps: int, json_file: Path | None) -> None:
    """Train a thin residual network of so many layers, with activation checkpointing."""
    with progress_bar("depth") as progress:
        figures = measured_depth(layers, stages=stages, steps=steps, progress=progress)
    show_depth(figures, Console(highlight=False))
    if json_file:
        write_json(json_file, figures)


def _measurement(model: str, *, ranks: int, steps: int, batch_size: int, compare: bool) -> Measurement:
    task = task_named(model, {})
    return Measurement(
        target=task.module,
        options=TrainingOptions(batch_size=batch_size, optimizer="sgd", learning_rate=0.05, extra=task.options),
        strategy=StrategySpec(),
        ranks=ranks,
        # As many for all: a rank would have one GPU, whatever the number of ranks.
        threads=threads_of(ranks),
        steps=steps,
        warm_up=3,
        compare=compare,
    )
