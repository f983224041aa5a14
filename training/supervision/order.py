"""What a supervisor is told on its command line, and what it leaves in the folder of the attempt.

    node-0.json       how it ended and the peaks, written last and whole
    samples-0.jsonl   memory over time, a line a sample, written as the run goes
    gpu-samples-0.jsonl  the same of its GPUs, about a line a second, where there are some
    output-0.log      what the command wrote to both its streams

The number is the node's in the job (SLURM_NODEID), 0 on a single machine.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crowdrun.data.durable import write_atomically
from crowdrun.training.supervision.gpus import GpuSample
from crowdrun.training.supervision.measure import Sample

INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run and watch."""

    command: tuple[str, ...]
    #: Of the attempt; exists.
    folder: Path
    #: The tree is killed when it is measured to hold more, MB; None leaves that to the scheduler.
    limit_mb: float | None = None
    #: The tree is stopped after so long; None leaves that to the scheduler.
    time_s: float | None = None
    #: Pass the command's output on, beside keeping it.
    echo: bool = True
    #: For a task of so many ranks: it is ended when none of them has made a step for so long; None waits for ever.
    ranks: int | None = None
    hang_s: float | None = None
    #: Between two looks at the tree; a large tree is looked at less often.
    interval_s: float = INTERVAL_S

    def to_arguments(self) -> list[str]:
        """The command line that `parse_order` reads.

        >>> Order(command=("true",), folder=Path("/r"), limit_mb=512.0, echo=False).to_arguments()
        ['--folder', '/r', '--limit-mb', '512', '--quiet', '--', 'true']
        """
        options = ["--folder", str(self.folder)]
        interval_s = None if self.interval_s == INTERVAL_S else self.interval_s
        values = {"limit-mb": self.limit_mb, "time-s": self.time_s, "interval-s": interval_s}
        for name, value in {**values, "ranks": self.ranks, "hang-s": self.hang_s}.items():
            if value is not None:
                options += [f"--{name}", f"{value:g}"]
        return [*options, *([] if self.echo else ["--quiet"]), "--", *self.command]


def parse_order(arguments: Sequence[str]) -> Order:
    """The order on a supervisor's command line."""
    parser = argparse.ArgumentParser(
        prog="python -m crowdrun.training.supervision.supervise", description="Run and measure."
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the measurements go")
    parser.add_argument("--limit-mb", type=float, help="kill the processes when together they hold more")
    parser.add_argument("--time-s", type=float, help="stop them after so long")
    parser.add_argument("--ranks", type=int, help="ranks of the task")
    parser.add_argument("--hang-s", type=float, help="end it when none of them has made a step for so long")
    parser.add_argument("--interval-s", type=float, default=INTERVAL_S, help="between two looks at them")
    parser.add_argument("--quiet", action="store_true", help="keep the output in the folder alone")
    parser.add_argument("command", nargs="+")
    found = parser.parse_args(arguments)
    return Order(
        command=tuple(found.command),
        folder=found.folder,
        limit_mb=found.limit_mb,
        time_s=found.time_s,
        ranks=found.ranks,
        hang_s=found.hang_s,
        echo=not found.quiet,
        interval_s=found.interval_s,
    )


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """What one supervisor saw on its node."""

    start_time: float
    end_time: float
    #: Of the command.
    exit_code: int
    signal: int
    state: str
    cause: str | None
    peak_mem_mb: float | None
    peak_rss_mb: float | None
    #: Of the cgroup that the supervisor is in, page cache included: the job's own under Slurm.
    cgroup_peak_mb: float | None
    gpus: int | None
    peak_gpu_mem_mb: float | None
    gpu_util: float | None
    samples: int


def report_file(folder: Path, node: int) -> Path:
    return folder / f"node-{node}.json"


def samples_file(folder: Path, node: int) -> Path:
    return folder / f"samples-{node}.jsonl"


def gpu_samples_file(folder: Path, node: int) -> Path:
    return folder / f"gpu-samples-{node}.jsonl"


def output_file(folder: Path, node: int) -> Path:
    return folder / f"output-{node}.log"


def write_report(folder: Path, node: int, report: NodeReport) -> None:
    write_atomically(report_file(folder, node), json.dumps(asdict(report), indent=2).encode())


def read_report(folder: Path, node: int) -> NodeReport | None:
    """The report of one node; None where its supervisor was killed before it wrote one."""
    file = report_file(folder, node)
    return NodeReport(**json.loads(file.read_text())) if file.is_file() else None


def read_samples(folder: Path, node: int) -> list[Sample]:
    """The samples of one node; a line that a kill cut short is left out."""
    return [Sample(**json.loads(line)) for line in whole_lines(samples_file(folder, node), size=2**30)]


def read_gpu_samples(folder: Path, node: int) -> list[GpuSample]:
    """The same of its GPUs; none where there were none, or their driver said nothing."""
    return [GpuSample(**json.loads(line)) for line in whole_lines(gpu_samples_file(folder, node), size=2**30)]


def last_sample(folder: Path, node: int) -> Sample | None:
    """The newest sample of one node, also while its supervisor writes."""
    lines = whole_lines(samples_file(folder, node), size=4096)
    return Sample(**json.loads(lines[-1])) if lines else None


def whole_lines(file: Path, *, size: int) -> list[str]:
    """The lines that lie whole in the last `size` bytes of a file, and are written to their end."""
    lines = read_tail(file, size).split("\n")[:-1]
    return lines[1:] if lines and file.stat().st_size > size else lines


def read_tail(file: Path, size: int = 65536) -> str:
    """The end of a text file, at most `size` bytes; empty where there is none."""
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - size))
        return stream.read().decode("utf-8", "replace")
