"""Trees as flat arrays: one form for every tree learner, kept as npz and evaluated with numpy alone.

A walk down the trees is a handful of gathers a level, so what counts is how few and how plain they are: a node's two
children lie side by side, and an unknown value is looked up as minus or plus infinity, whichever goes its way.

A model of ONNX or the library's own would do the same; this form loads in milliseconds, runs no code of others, answers
one row for all trees at once, and one check (`learners/` hold each fitted model against its library) covers it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.quantiles import Array

#: Rows that go down the trees together: as many as the nearer caches hold.
_ROWS_AT_ONCE = 64
#: Levels after which those that have arrived at their leaves are left out: few paths are as long as the longest.
_LEVELS_BETWEEN_LOOKS = 5


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

    def leaves(self, numeric: NDArray[np.float32]) -> NDArray[np.intp]:
        """The node in which each row ends, for each tree: (n, trees)."""
        return self.walk.leaves(numeric)

    @cached_property
    def walk(self) -> "Walk":
        return Walk([self], 0)

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


class Walk:
    """The way down the trees of several targets, all at once; nodes and trees are numbered one target after the other.

    Nodes lie in the order of their depth, all roots first and siblings together, so that a walk touches few places of
    the memory, and the right child is the one after the left.
    """

    def __init__(self, targets: Sequence[Trees], columns: int) -> None:
        """columns: features of each target, side by side in a row."""
        ends = np.cumsum([0, *(len(trees.feature) for trees in targets)])
        #: The first node of each target.
        self.first_node = ends[:-1]
        self._unknown_left = any(bool(trees.unknown_left.any()) for trees in targets)
        #: Roots come first.
        self._roots = np.arange(sum(len(trees.roots) for trees in targets))

        def numbered(name: str) -> NDArray[np.intp]:
            parts = [getattr(t, name).astype(np.intp) + at for t, at in zip(targets, self.first_node, strict=True)]
            return np.concatenate(parts)

        #: Of each place: the number of its node, whether it is no leaf, and what a step needs; a leaf leads to itself.
        self._node, first_child = _by_depth(numbered("roots"), numbered("left"), numbered("right"))
        self._inner = first_child >= 0
        self._child = np.where(self._inner, first_child, np.arange(len(self._node)))
        feature = [self._columns(trees, columns * place) for place, trees in enumerate(targets)]
        self._feature = np.concatenate(feature)[self._node]
        threshold = np.concatenate([trees.threshold for trees in targets])[self._node]
        if not targets[0].equal_left:
            # An equal value goes right as well: the limit is the next smaller number.
            threshold = np.nextafter(threshold, np.float32(-np.inf))
        self._threshold = np.where(self._inner, threshold, np.float32(np.inf))

    def _columns(self, trees: Trees, first: int) -> NDArray[np.intp]:
        """Where the value of each node's feature is found in what `_known` makes of a row."""
        feature = trees.feature.astype(np.intp) + first
        return 2 * feature + ~trees.unknown_left if self._unknown_left else feature

    def leaves(self, numeric: NDArray[np.float32]) -> NDArray[np.intp]:
        """The node in which each row ends, for each tree: numeric (n, targets * columns). Returns (n, trees)."""
        result = np.empty((len(numeric), len(self._roots)), dtype=np.intp)
        for start in range(0, len(numeric), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            result[block] = self._down(self._known(numeric[block]))
        return result

    def _known(self, numeric: NDArray[np.float32]) -> NDArray[np.float32]:
        """The values with the unknown ones as infinities, which go the right way: right alone, or each value twice."""
        unknown = np.isnan(numeric)
        right = np.where(unknown, np.float32(np.inf), numeric)
        if not self._unknown_left:
            return right
        left = np.where(unknown, np.float32(-np.inf), numeric)
        return np.stack([left, right], axis=2).reshape(len(numeric), -1)

    def _down(self, values: NDArray[np.float32]) -> NDArray[np.intp]:
        rows, width = values.shape
        flat = values.ravel()
        arrived = place = self._roots if rows == 1 else np.tile(self._roots, rows)
        first = np.repeat(np.arange(rows) * width, len(self._roots)) if rows > 1 else None
        walking: NDArray[np.intp] | None = None
        while True:
            for _ in range(_LEVELS_BETWEEN_LOOKS):
                feature = self._feature.take(place)
                if first is not None:
                    feature += first
                right = flat.take(feature) > self._threshold.take(place)
                place = self._child.take(place)
                place += right
            if walking is None:
                arrived = place
            else:
                arrived[walking] = place
            moving = self._inner.take(place).nonzero()[0]
            if not len(moving):
                return self._node.take(arrived).reshape(rows, -1)
            walking = moving if walking is None else walking.take(moving)
            place = place.take(moving)
            first = None if first is None else first.take(moving)


def _by_depth(
    roots: NDArray[np.intp], left: NDArray[np.intp], right: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The nodes in the order of their depth, siblings together, and the place of each one's first child; -1 at a
    leaf."""
    level, nodes, children, count = roots, [roots], [], len(roots)
    while len(level):
        inner = left[level] != level
        children.append(np.where(inner, count + 2 * (np.cumsum(inner) - 1), -1))
        level = np.stack([left[level[inner]], right[level[inner]]], axis=1).ravel()
        nodes.append(level)
        count += len(level)
    return np.concatenate(nodes), np.concatenate(children)


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
