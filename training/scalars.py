"""Figures of a training over its steps, as TensorBoard reads them; where `tensorboardX` is installed, else nothing.

They lie in `tensorboard/` in the folder of the run, so that all attempts are one curve (`tensorboard --logdir RUNS`).
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
#: Between two points of what is told at every step, s.
EVERY_S = 1.0


class Scalars:
    """What one rank writes; `folder` is the run's, None writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._writer = None if folder is None else _writer(folder / FOLDER)
        self._written_s = float("-inf")

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Points at a step."""
        if self._writer is None:
            return
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def now_and_then(self, step: int, figures: Mapping[str, float]) -> None:
        """Points at a step, unless the last ones are too young."""
        if self._writer is not None and time.monotonic() - self._written_s >= EVERY_S:
            self._written_s = time.monotonic()
            self.add(step, figures)

    def close(self) -> None:
        """All of it is on the disk."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        return None
    return SummaryWriter(str(folder))
