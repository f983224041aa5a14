"""A forest whose leaves hold distributions: quantile regression forest.

Source: Meinshausen, "Quantile Regression Forests", JMLR 7, 2006: the distributions of the leaves, not their quantiles,
are averaged over the trees. A distribution is kept as its CDF on a grid of values, so that an average is one sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import ModelError
from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import Features
from crowdrun.predictor.learner import Joint, Learner
from crowdrun.predictor.panel import Panel
from crowdrun.predictor.quantiles import LEVELS, Array, between
from crowdrun.predictor.settings import PartSettings, searched
from crowdrun.predictor.trees import Trees, Walk, join, load_trees

#: Points of the grid on which a CDF is kept.
GRID_POINTS = 64
#: What an unknown value counts as: below every standard value, so that a tree can tell it apart.
UNKNOWN = -64.0


@dataclass(frozen=True, kw_only=True)
class ForestSettings(PartSettings):
    trees: int = searched(40, 20, 80, log=True)
    #: Jobs in the smallest leaf.
    smallest_leaf: int = searched(12, 3, 50, log=True)
    #: Features that are tried at a split.
    share_of_features: float = searched(0.4, 0.1, 0.9)


class Forest(Learner):
    name = "forest"
    settings_type = ForestSettings
    settings: ForestSettings
    fits_with = "sklearn.ensemble"

    def fit(self, features: Features, target: Array) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        numeric = _complete(features.numeric)
        chosen = self.settings
        leaf = min(chosen.smallest_leaf, max(1, len(target) // 8))
        forest = ExtraTreesRegressor(
            chosen.trees, min_samples_leaf=leaf, max_features=chosen.share_of_features, n_jobs=-1,
            random_state=self.seed,
        ).fit(numeric, target)  # fmt: skip
        self._trees = flat_trees(forest)
        self._grid = _grid(target)
        leaves = self._trees.leaves(numeric)
        if (leaves - self._trees.roots != forest.apply(numeric)).any():
            raise ModelError("the flat form of the forest ends in other leaves than scikit-learn's; do not publish it")
        self._cdf = _leaf_cdf(leaves, target, self._grid, len(self._trees.feature))

    @classmethod
    def joint(cls, members: Sequence[Self]) -> Joint:
        return _Forests(members)

    def save(self, folder: Path) -> None:
        np.savez(folder / "forest.npz", leaf_values=self._cdf, grid=self._grid, **self._trees.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._trees, learner._cdf = load_trees(folder / "forest.npz")  # type: ignore[assignment]
        learner._grid = load_arrays(folder / "forest.npz")["grid"].astype(np.float64)
        return learner


class _Forests(Joint):
    def __init__(self, members: Sequence[Forest]) -> None:
        trees = [member._trees for member in members]
        self._width = 1 + max(int(one.feature.max(initial=0)) for one in trees)
        self._walk = trees[0].walk if len(members) == 1 else Walk(trees, self._width)
        ends = np.cumsum([len(one.roots) for one in trees]).tolist()
        #: The trees of each target, its first node and the distributions of its leaves: too large for a copy.
        self._parts = [
            (slice(end - len(member._trees.roots), end), first, member._cdf)
            for end, first, member in zip(ends, self._walk.first_node.tolist(), members, strict=True)
        ]
        self._points = max(len(member._grid) for member in members)
        # A short grid is filled up with its last value, where every CDF is 1.
        self._grid = np.stack(
            [np.pad(member._grid, (0, self._points - len(member._grid)), mode="edge") for member in members]
        )

    def predict(self, panel: Panel) -> Array:
        cdf, grid = self._mean_cdf(panel), self._grid.ravel()
        # The first grid point at which the CDF reaches the level, with the share of the step below it.
        place = np.add.reduce(cdf[:, None, :] < LEVELS[:, None], axis=2, dtype=np.intp)
        upper = np.minimum(place, self._points - 1)
        lower = np.maximum(upper - 1, 0)
        first = self._points * np.arange(len(cdf))[:, None]
        below = cdf.take(lower + first)
        step = cdf.take(upper + first) - below
        share = np.divide(LEVELS - below, step, out=np.ones_like(step), where=step > 0)
        first = (self._points * panel.target_of_row)[:, None]
        return between(grid.take(lower + first), grid.take(upper + first), np.minimum(np.maximum(share, 0), 1))

    def _mean_cdf(self, panel: Panel) -> Array:
        """(rows, points) over the trees."""
        leaves = self._walk.leaves(panel.by_job(_complete(panel.features.numeric[:, : self._width])))
        result = np.ones((panel.targets, panel.jobs, self._points))
        for place, (part, first, cdf) in enumerate(self._parts):
            of_trees = cdf.take(leaves[:, part] - first, axis=0)
            total = np.add.reduce(of_trees, axis=1, dtype=np.float64)
            result[place, :, : cdf.shape[1]] = total / of_trees.shape[1]
        return result.reshape(len(panel), self._points)


def _complete(numeric: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isnan(numeric), np.float32(UNKNOWN), numeric)


def _grid(target: Array) -> Array:
    """Quantiles of the target, denser above, with the extremes."""
    levels = np.concatenate([np.linspace(0, 0.9, GRID_POINTS - 16), np.linspace(0.9, 1, 17)[1:]])
    return np.unique(np.quantile(target, levels))


def flat_trees(forest: Any) -> Trees:
    parts: list[dict[str, NDArray[np.generic]]] = []
    for estimator in forest.estimators_:
        tree = estimator.tree_
        # scikit-learn compares float32 values with float64 thresholds: rounding down keeps every decision.
        threshold = tree.threshold.astype(np.float32)
        threshold = np.where(threshold > tree.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
        parts.append({
            "feature": tree.feature, "threshold": threshold, "left": tree.children_left, "right": tree.children_right,
            "unknown_left": np.zeros(tree.node_count, dtype=np.bool_),
        })  # fmt: skip
    return join(parts, depth=max(e.tree_.max_depth for e in forest.estimators_), equal_left=True)


def _leaf_cdf(leaves: NDArray[np.intp], target: Array, grid: Array, nodes: int) -> NDArray[np.float32]:
    """(nodes, len(grid)): the share of a leaf's training values at or below each grid point; 0 for inner nodes."""
    cdf = np.zeros((nodes, len(grid)), dtype=np.float32)
    place = np.searchsorted(grid, target)
    place = np.minimum(place, len(grid) - 1)
    for tree in range(leaves.shape[1]):
        np.add.at(cdf, (leaves[:, tree], place), 1.0)
    np.cumsum(cdf, axis=1, out=cdf)
    cdf /= np.maximum(cdf[:, -1:], 1)
    return cdf
