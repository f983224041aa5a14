"""The trainings of the contract suite: one launch of two ranks and one of four, for all strategies together."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from crowdrun.training.ranks import Ranks

PROGRAM = Path(__file__).with_name("contract.py")
MOST_RANKS = 4


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], list[dict[str, Any]]]:
    """What each rank saw of a case with so many ranks."""

    failures: dict[int, str] = {}

    @cache
    def folder(ranks: int) -> Path:
        made = tmp_path_factory.mktemp(f"contract-{ranks}")
        # Two ranks also go on with what four have begun.
        larger = folder(2 * ranks) if ranks < MOST_RANKS else made
        command = [sys.executable, "-P", "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
        command += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        done = subprocess.run(
            [*command, str(PROGRAM), str(made), str(larger)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=250,
        )
        failures[ranks] = "" if done.returncode == 0 else done.stdout[-2000:] + done.stderr[-6000:]
        return made

    def read(name: str, ranks: int) -> list[dict[str, Any]]:
        made = folder(ranks)
        assert not failures[ranks], failures[ranks]
        return [torch.load(made / f"{name}-{ranks}-{rank}.pt") for rank in range(ranks)]

    read.folder = folder  # type: ignore[attr-defined]
    return read


@pytest.fixture(scope="session")
def alone() -> Ranks:
    """The ranks of a training by one process."""
    return Ranks(rank=0, world_size=1, device=torch.device("cpu"))
