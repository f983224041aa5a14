"""What all ranks must decide together between two steps: to stop, and to save.

One small sum over all ranks, not after every step but about twice a second: the first rank says when the next is.
"""

import time
from dataclasses import dataclass

import torch

from crowdrun.training.ranks import Ranks

#: Between two, s: a small part of the 30 s that are left between SIGTERM and SIGKILL.
INTERVAL_S = 0.5
_MOST_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """What holds on all ranks."""

    stop: bool
    save: bool


class Agreement:
    """Counts steps, which all ranks take alike."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._steps = self._left = 0
        self._last_s = time.perf_counter()

    def due(self) -> bool:
        """Count one step; true after the same ones on all ranks."""
        self._steps += 1
        return self._steps > self._left

    def agree(self, *, stop: bool, save: bool) -> Agreed:
        """stop: any rank wants it. save: the first rank wants it."""
        first = self._ranks.first
        values = [float(stop), float(first and save), float(self._ahead() if first else 0)]
        total = self._ranks.sum(torch.tensor(values, dtype=torch.float64, device=self._ranks.device)).tolist()
        self._left, self._steps = int(total[2]), 0
        self._last_s = time.perf_counter()
        return Agreed(stop=total[0] > 0, save=total[1] > 0)

    def _ahead(self) -> int:
        """Steps that can go by until the next."""
        step_s = (time.perf_counter() - self._last_s) / max(1, self._steps)
        return min(_MOST_STEPS, int(INTERVAL_S / max(step_s, 1e-6)))
