"""The runs as a table, and one run as a story: plan, attempts, faults, curves, forecast against measured."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from crowdrun.api.text import duration_text, memory_text
from crowdrun.data.errors import OutputError
from crowdrun.training.runs.history import RunSummary, attempt_folders, epochs_of, summary_of
from crowdrun.training.supervision.order import read_samples

_BARS = "▁▂▃▄▅▆▇█"
#: Columns of a curve in the terminal.
_WIDTH = 40


def list_table(runs: Sequence[RunSummary]) -> Table:
    """A line a run."""
    table = Table(Column("run", no_wrap=True), "job", "state", "tries", "took", "host", "GPU", "strategy", "scores")
    for run in runs:
        ranks = f" x {run.ranks}" if run.ranks else ""
        table.add_row(
            run.run_id, run.job_name, run.state, str(run.attempts), _text(duration_text, run.run_time_s),
            _text(memory_text, run.peak_mem_mb), _text(memory_text, run.peak_gpu_mem_mb),
            f"{run.strategy}{ranks}" if run.strategy else "",
            ", ".join(f"{name} {value:.2%}" for name, value in run.scores.items()),
        )  # fmt: skip
    return table


def show_run(record: Mapping[str, Any], console: Console) -> None:
    """Print the story."""
    for line in story(record):
        console.print(line, markup=False, soft_wrap=True)


def story(record: Mapping[str, Any]) -> Iterator[str]:
    """Its lines, from what was asked for to what came of it."""
    summary, request, plan = summary_of(record), record["request"], record["plan"]
    planned = datetime.fromtimestamp(summary.started, tz=UTC)
    yield f"run {summary.run_id}: {summary.job_name} of {summary.user}, planned {planned:%Y-%m-%d %H:%M:%S} UTC"
    yield f"command: {request['command']}"
    yield f"asked for: {_asked(request)}"
    for reason in (record.get("recommendation") or {}).get("reasons", []):
        yield f"recommended: {reason}"
    for reason in plan["reasons"]:
        yield f"plan: {reason}"
    folders = attempt_folders(record)
    for number, folder in enumerate(folders, start=1):
        known = [one for one in record.get("attempts") or [] if one["number"] == number]
        yield from _attempt(number, known[0] if known else None, folder)
    yield f"ended: {summary.state}{_because(summary.cause)}"
    yield from _forecast_and_measured(record)
    for name, value in summary.scores.items():
        yield f"{name} on the test set: {value:.2%}"
    result = record.get("result") or {}
    if result.get("data"):
        yield f"data: {result['data']}"
    yield f"folder: {record['folder']}"


def _asked(request: Mapping[str, Any]) -> str:
    figures = [
        memory_text(request["req_mem_mb"]) if request["req_mem_mb"] is not None else "no memory named",
        f"{request['req_gpus']} GPU(s)" if request["req_gpus"] is not None else None,
        duration_text(request["timelimit_s"]) if request["timelimit_s"] is not None else None,
    ]
    return ", ".join(figure for figure in figures if figure)


def _attempt(number: int, attempt: Mapping[str, Any] | None, folder: Path) -> Iterator[str]:
    if attempt is None:
        yield f"attempt {number}: no end is known"
    else:
        outcome, given = attempt["outcome"], attempt["request"]["req_mem_mb"]
        took = (outcome["end_time"] or 0.0) - (outcome["start_time"] or 0.0)
        yield (
            f"attempt {number}: {outcome['state']}{_because(attempt['cause'])}, given "
            f"{_text(memory_text, given) or 'no limit'}, "
            f"held {_text(memory_text, outcome['peak_mem_mb']) or 'unknown'}, "
            f"{took:.1f} s, exit {outcome['exit_code']}"
        )
    epochs = epochs_of(folder)
    if epochs:
        losses = [float(epoch["loss"]) for epoch in epochs]
        yield f"  loss    {_curve(losses)}  {losses[0]:.4g} at first, {losses[-1]:.4g} in epoch {len(losses)}"
    held = [sample.mem_mb for sample in read_samples(folder, 0)]
    if held:
        yield f"  memory  {_curve(held)}  {memory_text(max(held))} at most"


def _because(cause: str | None) -> str:
    return f", {cause}" if cause else ""


def _forecast_and_measured(record: Mapping[str, Any]) -> Iterator[str]:
    result, forecasts = record.get("result") or {}, record["plan"].get("rank_forecast_mb") or []
    name = "peak_gpu_mem_mb" if result.get("device") == "cuda" else "peak_mem_mb"
    for number, rank in enumerate(result.get("ranks", [])):
        if rank.get(name) is not None:
            said = f"forecast {memory_text(forecasts[number])}, " if number < len(forecasts) else ""
            sent = f", sent {rank['sent_mb']:g} MB" if rank.get("sent_mb") else ""
            yield f"rank {number}: {said}held {memory_text(rank[name])}{sent}"


def _curve(values: Sequence[float]) -> str:
    """
    >>> _curve([4.0, 2.0, 1.0, 0.0])
    '█▄▂▁'
    >>> _curve([7.0])
    '▁'
    """
    kept = [values[place * len(values) // _WIDTH] for place in range(_WIDTH)] if len(values) > _WIDTH else values
    low, high = min(kept), max(kept)
    return "".join(_BARS[int((value - low) / ((high - low) or 1.0) * (len(_BARS) - 1))] for value in kept)


def _text(write: Any, value: float | None) -> str:
    return "" if value is None else str(write(value))


def plot_run(record: Mapping[str, Any], file: Path) -> None:
    """Draw loss and host memory of all attempts.

    Raises:
        OutputError: the file cannot be written, or its ending is of no picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    given = {one["number"]: one["request"]["req_mem_mb"] for one in record.get("attempts") or []}
    for number, folder in enumerate(attempt_folders(record), start=1):
        epochs, samples = epochs_of(folder), read_samples(folder, 0)
        upper.plot(
            [one["epoch"] for one in epochs], [one["loss"] for one in epochs], marker=".", label=f"attempt {number}"
        )
        [line] = lower.plot([one.time_s for one in samples], [one.mem_mb for one in samples], label=f"attempt {number}")
        if given.get(number):
            lower.axhline(given[number], color=line.get_color(), linestyle=":", label=f"given in attempt {number}")
    upper.set(title=f"{record['run_id']}", xlabel="epoch", ylabel="training loss")
    upper.xaxis.set_major_locator(MaxNLocator(integer=True))
    lower.set(xlabel="seconds", ylabel="host memory, MB")
    lower.legend()
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot draw {file}: {error}; name a file that ends in .png, .svg or .pdf") from error
