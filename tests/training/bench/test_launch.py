"""The ranks of a measurement end with it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

MEASURE = """
from pathlib import Path
from crowdrun.data.task import TrainingOptions
from crowdrun.training.bench.launch import Measurement, measure
from crowdrun.training.strategies.settings import strategy_spec
one = Measurement(target="crowdrun.training.models.lenet", options=TrainingOptions(), strategy=strategy_spec("ddp"),
    ranks=2, threads=1, steps=1_000_000, warm_up=0, compare=False)
measure(one, Path("measured"))
"""


def test_no_rank_outlives_a_measurement_that_is_terminated(
    tmp_path: Path, assert_gone: Callable[[Iterable[int]], None]
) -> None:
    bench = subprocess.Popen([sys.executable, "-c", MEASURE], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "measured" / "progress.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    ranks = [process.pid for process in psutil.Process(bench.pid).children(recursive=True)]
    assert len(ranks) == 3  # torchrun and two ranks
    bench.send_signal(signal.SIGTERM)
    bench.wait(60)
    assert_gone(ranks)
