"""Gradient-boosted trees (xgboost, least absolute errors), kept as flat arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.gpu_memory.learned.features import Array
from crowdrun.predictor.gpu_memory.learned.member import Member
from crowdrun.predictor.learners.boosted import flat_trees
from crowdrun.predictor.trees import Trees

_DEPTH, _ROUNDS = 4, 120
_SETTINGS = {
    "objective": "reg:absoluteerror", "max_depth": _DEPTH, "eta": 0.08, "min_child_weight": 10, "subsample": 0.7,
    "colsample_bytree": 0.5, "tree_method": "hist", "max_bin": 64, "nthread": 1, "seed": 0, "base_score": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Boosted(Member):
    name: ClassVar[str] = "boosted"
    trees: Trees
    leaf_values: Array

    @classmethod
    def fit(cls, shares: Array, log_ratio: Array) -> Self:
        import xgboost

        data = xgboost.QuantileDMatrix(shares.astype(np.float32), log_ratio, max_bin=64)
        trees, values, *_ = flat_trees(xgboost.train(_SETTINGS, data, _ROUNDS), _DEPTH)
        return cls(trees, values)

    def log_ratio(self, shares: Array) -> Array:
        found: Array = self.leaf_values.take(self.trees.leaves(shares.astype(np.float32))).sum(axis=1)
        return found

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        return self.trees.arrays() | {"leaf_values": self.leaf_values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        return cls(Trees.from_arrays(dict(arrays)), arrays["leaf_values"])
