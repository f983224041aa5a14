"""Trees as flat arrays: one form for every tree learner, kept as npz and evaluated with numpy alone.

A model of ONNX or the library's own would do the same; this form loads in milliseconds, runs no code of others, answers
one row for all trees at once, and one check (`learners/` hold each fitted model against its library) covers it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.quantiles import Array


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
        node = np.broadcast_to(self.roots, (len(numeric), len(self.roots)))
        rows = np.arange(len(numeric))[:, None]
        for _ in range(self.depth):
            value = numeric[rows, self.feature[node]]
            threshold = self.threshold[node]
            goes_left = value <= threshold if self.equal_left else value < threshold
            goes_left |= np.isnan(value) & self.unknown_left[node]
            node = np.where(goes_left, self.left[node], self.right[node])
        return node

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
