"""What the members of several targets look at, as one table: each row is a target and a job.

A prediction is some hundred calls of numpy on small arrays, of which each costs a microsecond whatever it does. So all
targets go through each call together: first all jobs for the first target, then all for the second, and so on.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.features import Features
from crowdrun.predictor.quantiles import Array


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Features of the same n jobs for t targets: t * n rows, one target after the other."""

    features: Features
    targets: int
    _made: dict[Hashable, Array] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, features: Features) -> "Panel":
        """One target's features."""
        return cls(features=features, targets=1)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def jobs(self) -> int:
        return len(self.features) // self.targets

    @property
    def target_of_row(self) -> NDArray[np.intp]:
        return _targets_of_rows(self.targets, self.jobs)

    @property
    def categories(self) -> NDArray[np.int32]:
        """(n, len(CATEGORY_NAMES)): they are the same for every target."""
        return self.features.categories[: self.jobs]

    def by_target(self, rows: NDArray[Any]) -> NDArray[Any]:
        """(t * n, ...) as (t, n, ...)."""
        return rows.reshape(self.targets, self.jobs, *rows.shape[1:])

    def by_job(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(t * n, k) as (n, t * k): all targets of a job side by side."""
        return self.by_target(rows).transpose(1, 0, 2).reshape(self.jobs, -1)

    def once(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """What several members need of this table: made by the first that asks."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


@lru_cache(maxsize=16)
def _targets_of_rows(targets: int, jobs: int) -> NDArray[np.intp]:
    """Of few sizes, again and again: one job, and the chunks of a batch."""
    rows = np.repeat(np.arange(targets), jobs)
    rows.flags.writeable = False
    return rows


def stack(arrays: Sequence[Array]) -> Array:
    """Arrays of one shape as one; of a single array no copy is made."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
