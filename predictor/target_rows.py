"""The targets of a table of rows (target, job): the fields of `Target` that figures need, one value a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.target import LARGEST_LOG2, TARGETS_BY_NAME, Target

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class TargetRows:
    """Fields of `Target`, each (rows,); rows are those of a panel: n jobs for each target.

    >>> rows = TargetRows.of_targets([TARGETS_BY_NAME["mem_mb"], TARGETS_BY_NAME["gpus"]], jobs=2)
    >>> rows.from_log2(np.array([10.0, 11.0, 1.0, 0.0])).tolist(), rows.to_log2(np.array([1.0, 2.0, 3.0, 0.0])).tolist()
    ([1024.0, 2048.0, 1.0, 0.0], [0.0, 1.0, 2.0, 0.0])
    """

    first_anchor_log2: Array
    low_edge_log2: Array
    high_edge_log2: Array
    failure_price: Array
    offset: Array
    smallest: Array
    whole: Bools
    capped_at_request: Bools
    is_wait: Bools

    @classmethod
    def of_targets(cls, targets: Sequence[Target], jobs: int) -> "TargetRows":
        """So many jobs for each of the targets."""
        return _rows_of(tuple(target.name for target in targets), jobs)

    @classmethod
    def made(cls, targets: Sequence[Target], jobs: int) -> Self:
        def column(values: Sequence[float | bool]) -> NDArray[np.generic]:
            return np.repeat(np.array(values), jobs)

        edges = [target.group_edges_log2 for target in targets]
        names = ("first_anchor_log2", "failure_price", "offset", "smallest", "whole", "capped_at_request", "is_wait")
        return cls(
            **{name: column([getattr(target, name) for target in targets]) for name in names},  # type: ignore[arg-type]
            low_edge_log2=column([low for low, _ in edges]),  # type: ignore[arg-type]
            high_edge_log2=column([high for _, high in edges]),  # type: ignore[arg-type]
        )

    def of(self, index: NDArray[np.intp]) -> "TargetRows":
        """Some of the rows."""
        if len(index) == len(self.whole):
            return self
        return TargetRows(**{name: getattr(self, name).take(index) for name in self.__dataclass_fields__})

    def to_log2(self, value: Array) -> Array:
        """value: (rows,) or (rows, k)"""
        result: Array = np.log2(np.maximum(value, _beside(self._least, value)) + _beside(self.offset, value))
        return result

    @cached_property
    def _least(self) -> Array:
        """What has a logarithm."""
        return np.where(self.offset > 0, 0.0, 1e-3)

    @cached_property
    def any_whole(self) -> bool:
        return bool(self.whole.any())

    @cached_property
    def any_wait(self) -> bool:
        return bool(self.is_wait.any())

    def from_log2(self, value: Array) -> Array:
        """value: (rows,) or (rows, k)"""
        result: Array = np.exp2(np.minimum(value, LARGEST_LOG2)) - _beside(self.offset, value)
        return result

    def groups(self, anchor_log2: Array) -> NDArray[np.intp]:
        """(rows,) `Target.group` of each."""
        return (anchor_log2 >= self.low_edge_log2).astype(np.intp) + (anchor_log2 >= self.high_edge_log2)


def _beside(column: Array, value: Array) -> Array:
    return column if value.ndim == 1 else column[:, None]


@lru_cache(maxsize=16)
def _rows_of(names: tuple[str, ...], jobs: int) -> TargetRows:
    """Of few sizes, again and again: one job, and the chunks of a batch."""
    return TargetRows.made([TARGETS_BY_NAME[name] for name in names], jobs)
