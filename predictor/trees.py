"""Trees as flat arrays: one form for every tree learner, kept as npz and evaluated with numpy alone.

A walk down the trees is a handful of gathers a level, so what counts is how few and how plain they are: a node's two
children lie side by side, and an unknown value is looked up as minus or plus infinity, whichever goes its way.

A model of ONNX or the library's own would do the same; this form loads in milliseconds, runs no code of others, answers
one row for all trees at once, and one check (`learners/` hold each fitted model against its library) covers it.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.quantiles import Array

#: Rows that go down the trees together: as many as the nearer caches hold.
_ROWS_AT_ONCE = 64
#: Levels after which it is looked whether all have arrived at their leaves: few paths are as long as the longest.
_LEVELS_BETWEEN_LOOKS = 3


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Nodes of all trees, one after the other; a leaf's children are itself."""

    #: (trees,) index of each root.
    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    #: True where an unknown value goes left.
    unknown_left: NDArray[np.bool_]
    depth: int
    #: True when a value equal to the threshold goes left (scikit-learn); else it goes right (xgboost).
    equal_left: bool

    def leaves(self, numeric: NDArray[np.float32]) -> NDArray[np.int32]:
        """The node in which each row ends, for each tree: (n, trees)."""
        result = np.empty((len(numeric), len(self.roots)), dtype=np.int32)
        for start in range(0, len(numeric), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            result[block] = self._walk.leaves(numeric[block])
        return result

    @cached_property
    def _walk(self) -> "_Walk":
        return _Walk(self)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {
            "roots": self.roots, "feature": self.feature, "threshold": self.threshold, "left": self.left,
            "right": self.right, "unknown_left": self.unknown_left, "depth": np.array(self.depth),
            "equal_left": np.array(self.equal_left),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> "Trees":
        flat = {name: arrays[name] for name in ("roots", "feature", "threshold", "left", "right", "unknown_left")}
        return cls(**flat, depth=int(arrays["depth"]), equal_left=bool(arrays["equal_left"]))  # type: ignore[arg-type]


class _Walk:
    """The arrays of a walk. A place is twice the number of a node, so that place + 1 stands for its right child."""

    def __init__(self, trees: Trees) -> None:
        nodes = len(trees.feature)
        self._roots = 2 * trees.roots.astype(np.intp)
        self._feature = np.repeat(2 * trees.feature.astype(np.intp) + ~trees.unknown_left, 2)
        self._threshold = np.repeat(trees.threshold, 2)
        self._child = np.empty(2 * nodes, dtype=np.intp)
        self._child[0::2], self._child[1::2] = 2 * trees.left.astype(np.intp), 2 * trees.right.astype(np.intp)
        self._goes_right = np.greater if trees.equal_left else np.greater_equal
        self._depth = trees.depth

    def leaves(self, numeric: NDArray[np.float32]) -> NDArray[np.intp]:
        # Each feature twice: unknown as -inf, which goes left, and as +inf, which goes right.
        values = np.repeat(numeric, 2, axis=1)
        for unknown, infinity in ((0, -np.inf), (1, np.inf)):
            column = values[:, unknown::2]
            np.copyto(column, np.float32(infinity), where=np.isnan(column))
        flat = values.ravel()
        first = np.arange(0, flat.size, values.shape[1])[:, None] if len(numeric) > 1 else 0
        place = np.repeat(self._roots[None], len(numeric), axis=0)
        for level in range(1, self._depth + 1):
            value = flat.take(self._feature.take(place) + first)
            right = self._goes_right(value, self._threshold.take(place))
            below = self._child.take(place + right)
            if level % _LEVELS_BETWEEN_LOOKS == 0 and (below == place).all():
                break
            place = below
        return place >> 1


def join(parts: list[dict[str, NDArray[np.generic]]], *, depth: int, equal_left: bool) -> Trees:
    """One `Trees` from single trees: dictionaries of feature, threshold, left, right (-1 at a leaf), unknown_left."""
    sizes = np.array([len(part["feature"]) for part in parts])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in parts[0]}
    for root, size, part in zip(roots, sizes, parts, strict=True):
        itself = np.arange(size)
        leaf = part["left"] == -1
        for name in ("left", "right"):
            columns[name].append(np.where(leaf, itself, part[name]).astype(np.int32) + root)
        columns["feature"].append(np.where(leaf, 0, part["feature"]).astype(np.int32))
        columns["threshold"].append(part["threshold"].astype(np.float32))
        columns["unknown_left"].append(part["unknown_left"].astype(np.bool_))
    flat = {name: np.concatenate(values) for name, values in columns.items()}
    return Trees(roots=roots, depth=depth, equal_left=equal_left, **flat)


def load_trees(file: Path) -> tuple[Trees, Array]:
    """The trees of a file and what their leaves hold (`leaf_values`).

    Raises:
        ModelError: the file is missing or cannot be read.
    """
    arrays = load_arrays(file)
    return Trees.from_arrays(arrays), arrays["leaf_values"]  # type: ignore[return-value]
