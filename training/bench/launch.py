"""Starts the ranks of one measurement, and reads what they measured."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import LaunchError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.launch.signals import raised_as_interrupts
from crowdrun.training.strategies.settings import StrategySpec
from crowdrun.training.supervision.processes import MARK, sweep

#: Called with the share of the steps that is done.
Tick = Callable[[float], None]
#: Trains so many steps and measures each.
STEPS_WORKER = "crowdrun.training.bench.rank"
_TICK_S = 0.2
#: Of the output, in an error.
_TAIL = 2000


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What is measured."""

    #: A task's module or file.
    target: str
    options: TrainingOptions
    strategy: StrategySpec
    ranks: int
    #: Of each process.
    threads: int
    #: Steps that count, after those that warm up.
    steps: int
    warm_up: int
    #: Compare the weights with those of the single process, which is then measured first.
    compare: bool


def measure(
    measurement: Measurement,
    folder: Path,
    tick: Tick | None = None,
    *,
    worker: str = STEPS_WORKER,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train in processes of their own; `folder` is made.

    Args:
        measurement: what is trained.
        folder: for the order, the output and what was measured.
        tick: told how far it is.
        worker: the module that each rank runs; the keys of the answer are its.
        more: what it is to know beside the measurement.

    Raises:
        LaunchError: a rank failed; holds the end of what was written.
    """
    folder.mkdir(parents=True)
    order = {**asdict(measurement), "strategy": measurement.strategy.to_table(), **(more or {})}
    write_atomically(folder / "order.json", json.dumps(order).encode())
    with (folder / "output.log").open("wb") as log:
        mark = f"{folder}.{os.getpid()}"
        with raised_as_interrupts():
            process = subprocess.Popen(
                _command(measurement, folder, worker),
                stdout=log,
                stderr=log,
                env={**_environment(measurement), MARK: mark},
                start_new_session=True,  # Ctrl-C comes to us alone
            )
            try:
                _wait(process, folder, tick)
            finally:
                sweep(mark)
                process.wait()
    file = folder / "measured.json"
    if process.returncode or not file.is_file():
        raise LaunchError(_why((folder / "output.log").read_text(errors="replace")))
    return dict(json.loads(file.read_text()))


def threads_of(ranks: int) -> int:
    """Threads of a process, where so many share this machine."""
    return max(1, (os.cpu_count() or 1) // ranks)


def _command(measurement: Measurement, folder: Path, worker: str) -> list[str]:
    agent = ["-m", "torch.distributed.run", f"--nproc-per-node={measurement.ranks}", "--rdzv-backend=c10d"]
    agent += ["--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--no-python"]
    rank = [sys.executable, "-P", "-u", "-m", worker, str(folder / "order.json")]
    return [sys.executable, "-P", *agent, *rank]


def _environment(measurement: Measurement) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(measurement.threads), "GLOO_SOCKET_IFNAME": "lo", **os.environ}


def _wait(process: subprocess.Popen[bytes], folder: Path, tick: Tick | None) -> None:
    while process.poll() is None:
        if tick:
            with suppress(OSError, ValueError):
                told = json.loads((folder / "progress.json").read_text())
                tick(told["done"] / told["of"])
        time.sleep(_TICK_S)


def _why(output: str) -> str:
    """The line of the error of ours, if there is one, else the end of the output.

    >>> _why("x\\n[rank1]: crowdrun.data.errors.ConfigError: the model is too small\\n")
    'the model is too small'
    """
    for line in output.splitlines():
        _, found, said = line.partition("crowdrun.data.errors.ConfigError: ")
        if found:
            return said
    return f"a rank failed: {output[-_TAIL:]}"
