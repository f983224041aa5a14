"""What every launcher does before an attempt: its folder, and for a task the file that its ranks read."""

import json
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import LaunchError
from crowdrun.training.launch.base import Attempt
from crowdrun.training.launch.torchrun import program
from crowdrun.training.rank_files import SPEC_FILE
from crowdrun.training.supervision.order import Order


def make_folder(attempt: Attempt) -> None:
    """Make the attempt's folder.

    Raises:
        LaunchError: it cannot be written.
    """
    try:
        attempt.folder.mkdir(parents=True)
        if attempt.job.task:
            spec = {
                **asdict(attempt.job.task),
                "strategy": attempt.job.task.strategy.to_table(),
                "work_dir": str(attempt.job.work_dir),
            }
            write_atomically(attempt.folder / SPEC_FILE, json.dumps(spec, indent=2, default=str).encode())
    except OSError as error:
        raise LaunchError(f"cannot write {attempt.folder}: {error.strerror}; set --home to a place that can") from error


def supervisor(order: Order) -> list[str]:
    """The command line of the supervisor that carries out an order."""
    return [sys.executable, "-P", "-m", "crowdrun.training.supervision.supervise", *order.to_arguments()]


def order_of(attempt: Attempt, *, limit_mb: float | None, time_s: float | None) -> Order:
    """What the supervisor of an attempt is told. A task's output is in its logs; the terminal shows its progress."""
    task = attempt.job.task
    return Order(
        command=tuple(program(attempt.job, attempt.folder)),
        folder=attempt.folder,
        limit_mb=limit_mb,
        time_s=time_s,
        ranks=attempt.job.ranks if task else None,
        hang_s=task.hang_s if task else None,
        echo=task is None,
    )


def shell_line(words: Iterable[str]) -> str:
    """Quoted for a shell, a line for each part."""
    return shlex.join(words).replace(" -- ", " -- \\\n    ").replace(" --no-python ", " --no-python \\\n    ")
