"""A run at a terminal: what was asked for, the plan, how it goes, and the forecast against what was measured."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crowdrun.api.runs.live_line import LiveLine
from crowdrun.api.show import show_recommendation
from crowdrun.api.text import duration_text, memory_text
from crowdrun.data.job import JobRequest
from crowdrun.training.job import Job
from crowdrun.training.launch.base import Attempt
from crowdrun.training.out_of_memory import smaller
from crowdrun.training.planning.layout import planned_job
from crowdrun.training.planning.plan import Plan
from crowdrun.training.rank_files import DATA_FILE, PROGRESS_FILE, STOPPED_FILE
from crowdrun.training.runs.attempts import Listener
from crowdrun.training.runs.records import AttemptRecord, RunRecord
from crowdrun.training.supervision.ending import GPU_OOM
from crowdrun.training.supervision.order import output_file, read_tail, whole_lines

#: Lines of the output of a task that failed.
TAIL_LINES = 15


class LastingConsole(Console):
    """Falls silent when nobody reads it any more, where rich would end the process, and the job with it."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class RunReport(Listener):
    """Tells a person how a run goes, on standard error: standard output is the job's."""

    def __init__(self) -> None:
        self._console = LastingConsole(stderr=True, highlight=False)
        self._attempt: Attempt | None = None
        self._started = 0.0
        self._told = 0
        self._told_data = False
        self._live: LiveLine | None = None

    def planned(self, record: RunRecord) -> None:
        self._say(f"run {record.run_id} in {record.folder}")
        show_plan(record, self._console)

    def started(self, attempt: Attempt) -> None:
        self._attempt, self._started, self._told, self._told_data = attempt, time.monotonic(), 0, False
        self._live = LiveLine(attempt.folder, attempt.plan.rank_forecast_mb)
        given = "no memory limit" if attempt.mem_mb is None else memory_text(attempt.mem_mb)
        micro_batch = attempt.job.task.options.micro_batch if attempt.job.task else None
        parts = f", at most {micro_batch} samples at once" if micro_batch else ""
        self._say(f"attempt {attempt.number} on {attempt.plan.machine}: {given}, {attempt.job.ranks} rank(s){parts}")

    def tick(self) -> None:
        """A live line on a terminal, while a task runs; elsewhere a line an epoch."""
        if self._attempt is None or self._attempt.job.task is None:
            return
        self._say_data(self._attempt.folder / DATA_FILE)
        if self._console.is_terminal and self._live:
            line = self._live.text(time.monotonic() - self._started)
            self._console.file.write(f"\r\x1b[K{line[: self._console.width - 1]}")
            self._console.file.flush()
            return
        epochs = whole_lines(self._attempt.folder / PROGRESS_FILE, size=2**20)
        for line in epochs[self._told :]:
            self._say(_epoch_text(line))
        self._told = len(epochs)

    def _say_data(self, file: Path) -> None:
        """Once an attempt: made-up samples must not be taken for real ones."""
        if not self._told_data and file.is_file():
            self._say(f"data: {file.read_text()}")
            self._told_data = True

    def ended(self, attempt: AttemptRecord) -> None:
        self.tick()
        if self._console.is_terminal and self._attempt and self._attempt.job.task:
            self._console.file.write("\n")
        outcome = attempt.outcome
        took = (outcome.end_time or 0.0) - (outcome.start_time or 0.0)
        why = f", {attempt.cause}" if attempt.cause else ""
        held = "memory not measured" if outcome.peak_mem_mb is None else f"held {memory_text(outcome.peak_mem_mb)}"
        self._say(
            f"attempt {attempt.number} ended {outcome.state}{why} (exit {outcome.exit_code}): {held}, {took:.1f} s"
        )
        if attempt.cause == GPU_OOM:
            half = smaller(self._attempt.folder) if self._attempt else None
            more = "take a smaller batch_size, or a card with more memory"
            self._say(f"more host memory would not help; {f'at most {half} samples at once might' if half else more}")
        self._say_saved()
        if self._attempt and self._attempt.job.task and outcome.state == "FAILED":
            log = output_file(self._attempt.folder, 0)
            self._say("\n".join(["the end of its output:", *read_tail(log).splitlines()[-TAIL_LINES:], f"({log})"]))

    def _say_saved(self) -> None:
        """How a run that was stopped goes on, where all of it is saved."""
        if self._attempt and (self._attempt.folder / STOPPED_FILE).is_file():
            step = json.loads((self._attempt.folder / STOPPED_FILE).read_text())["step"]
            self._say(f"saved at step {step}; it goes on with: crowdrun run --resume {self._attempt.run_id}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def _epoch_text(line: str) -> str:
    told = json.loads(line)
    return f"epoch {told['epoch']}/{told['epochs']}  loss {told['loss']:.4f}  {told['samples_per_s']:.0f} samples/s"


def show_plan(record: RunRecord, console: Console) -> None:
    """The request, the recommendation with its reasons, and the plan with its own."""
    console.print(f"asked for: {_asked(record.request)}", markup=False, soft_wrap=True)
    if record.recommendation:
        show_recommendation(record.recommendation, console)
    for reason in record.plan.reasons:
        console.print(f"plan: {reason}", markup=False, soft_wrap=True)
    if record.plan.ladder:
        rungs = ", then ".join(memory_text(rung) for rung in record.plan.ladder)
        console.print(f"plan: after an out-of-memory death {rungs}", markup=False, soft_wrap=True)


def show_planned(plan: Plan, job: Job, console: Console) -> None:
    """The figures of a plan as a table; of a task also how its ranks work on a batch."""
    made, split = planned_job(job, plan), plan.split
    table = Table("", "planned")
    rows: list[tuple[str, str | None]] = [
        ("ranks", f"{made.ranks} on {made.resources.nodes} node(s)"),
        ("GPUs", None if plan.gpus is None else str(plan.gpus)),
        ("host memory", None if plan.mem_mb is None else memory_text(plan.mem_mb)),
        ("time limit", None if plan.timelimit_s is None else duration_text(plan.timelimit_s)),
    ]
    if made.task:
        rows.insert(1, ("strategy", made.task.strategy.name))
        rows.insert(2, ("batch size", str(made.task.options.batch_size)))
    if split:
        pieces = f"{split.accumulation} x {split.micro_batch} samples" if split.accumulation > 1 else None
        rows += [
            ("micro-batches of a rank", pieces or f"{split.micro_batch} sample(s) at once"),
            ("activations", "computed again (checkpointing)" if split.checkpointing else "kept"),
            ("peak of a rank", _range(plan.rank_forecast_mb)),
        ]
    if plan.placement:
        cards = "; ".join(", ".join(map(str, own)) for own in plan.placement.cards)
        rows.append(("cards of each node", f"{cards} ({plan.placement.how})"))
    for name, value in rows:
        if value is not None:
            table.add_row(name, value)
    console.print(table)


def _range(each: Sequence[float]) -> str:
    low, high = memory_text(min(each)), memory_text(max(each))
    return low if low == high else f"{low} to {high}"


def _asked(request: JobRequest) -> str:
    figures = [
        memory_text(request.req_mem_mb) if request.req_mem_mb is not None else "no memory named",
        f"{request.req_gpus} GPU(s)" if request.req_gpus is not None else None,
        duration_text(request.timelimit_s) if request.timelimit_s is not None else None,
    ]
    return f"{request.job_name}: {', '.join(filter(None, figures))}"


def show_outcome(record: RunRecord) -> None:
    """The forecast against what was measured, and what a task scored."""
    console = LastingConsole(stderr=True, highlight=False)
    console.print(_comparison(record))
    for line in rank_lines(record):
        console.print(line, markup=False, soft_wrap=True)
    for rank in (record.result or {}).get("stragglers", []):
        console.print(f"rank {rank} was slow: the others waited for it (own_s in the record)", markup=False)
    for name, value in (record.result or {}).get("scores", {}).items():
        console.print(f"{name} on the test set: {value:.2%}", markup=False)
    saved = saved_gb_h(record)
    if saved:
        word = "less" if saved >= 0 else "more"
        console.print(f"held {abs(saved):.3g} GB·h {word} than the request would have", markup=False)


def rank_lines(record: RunRecord) -> list[str]:
    """Forecast and measured peak of each rank of a task, where there is a forecast."""
    ranks = (record.result or {}).get("ranks", [])
    cuda = (record.result or {}).get("device") == "cuda"
    name, what = ("peak_gpu_mem_mb", "of its card, by torch's allocator") if cuda else ("peak_mem_mb", "of the host")
    return [
        f"rank {number}: forecast {memory_text(forecast)}, held {memory_text(rank[name])} {what}"
        for number, (forecast, rank) in enumerate(zip(record.plan.rank_forecast_mb, ranks, strict=False))
        if rank.get(name) is not None
    ]


def _comparison(record: RunRecord) -> Table:
    outcome, predictions = record.last.outcome, record.recommendation.predictions if record.recommendation else {}
    took = None if outcome.end_time is None or outcome.start_time is None else outcome.end_time - outcome.start_time
    table = Table()
    for title in ("", "asked", "forecast (median)", "given", "measured"):
        table.add_column(title)
    rows = (
        ("host memory", "mem_mb", record.request.req_mem_mb, record.last.request.req_mem_mb, outcome.peak_mem_mb),
        ("run time", "run_time_s", record.request.timelimit_s, record.last.request.timelimit_s, took),
        ("memory of one GPU", "gpu_mem_mb", None, None, outcome.peak_gpu_mem_mb),
    )
    for name, target, asked, given, measured in rows:
        write = duration_text if target == "run_time_s" else memory_text
        median = predictions[target].quantiles.get(0.5) if target in predictions else None
        figures = (asked, median, given, measured)
        if any(figure is not None for figure in (median, measured)):
            table.add_row(name, *("" if figure is None else write(figure) for figure in figures))
    return table


def saved_gb_h(record: RunRecord) -> float | None:
    """Memory times time that the request would have held, minus what all attempts held; None without a request.

    Only for a run that came to its end and would have with the request: else that would have held for nothing.
    """
    asked, last = record.request.req_mem_mb, record.last.outcome
    if asked is None or last.state != "COMPLETED" or any(a.request.req_mem_mb is None for a in record.attempts):
        return None
    if (last.peak_mem_mb or 0.0) > asked:
        return None

    def hours(attempt: AttemptRecord) -> float:
        return ((attempt.outcome.end_time or 0.0) - (attempt.outcome.start_time or 0.0)) / 3600

    held = sum((attempt.request.req_mem_mb or 0.0) * hours(attempt) for attempt in record.attempts)
    return (asked * hours(record.last) - held) / 1024
