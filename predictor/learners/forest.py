"""A forest whose leaves hold distributions: quantile regression forest.

Source: Meinshausen, "Quantile Regression Forests", JMLR 7, 2006: the distributions of the leaves, not their quantiles,
are averaged over the trees. A distribution is kept as its CDF on a grid of values, so that an average is one sum.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import ModelError
from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import Features
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.quantiles import LEVELS, Array, between
from crowdrun.predictor.settings import PartSettings, searched
from crowdrun.predictor.trees import Trees, join, load_trees

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

        numeric = _complete(features)
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

    def predict(self, features: Features) -> Array:
        cdf = self._cdf[self._trees.leaves(_complete(features))].mean(axis=1, dtype=np.float64)
        # The first grid point at which the CDF reaches the level, with the share of the step below it.
        place = (cdf[:, None, :] < LEVELS[None, :, None]).sum(axis=2)
        upper = np.minimum(place, len(self._grid) - 1)
        lower = np.maximum(upper - 1, 0)
        rows = np.arange(len(cdf))[:, None]
        step = cdf[rows, upper] - cdf[rows, lower]
        share = np.where(step > 0, (LEVELS - cdf[rows, lower]) / np.where(step > 0, step, 1), 1.0)
        return between(self._grid[lower], self._grid[upper], np.minimum(np.maximum(share, 0), 1))

    def save(self, folder: Path) -> None:
        np.savez(folder / "forest.npz", leaf_values=self._cdf, grid=self._grid, **self._trees.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._trees, learner._cdf = load_trees(folder / "forest.npz")  # type: ignore[assignment]
        learner._grid = load_arrays(folder / "forest.npz")["grid"].astype(np.float64)
        return learner


def _complete(features: Features) -> NDArray[np.float32]:
    return np.where(np.isnan(features.numeric), np.float32(UNKNOWN), features.numeric)


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


def _leaf_cdf(leaves: NDArray[np.int32], target: Array, grid: Array, nodes: int) -> NDArray[np.float32]:
    """(nodes, len(grid)): the share of a leaf's training values at or below each grid point; 0 for inner nodes."""
    cdf = np.zeros((nodes, len(grid)), dtype=np.float32)
    place = np.searchsorted(grid, target)
    place = np.minimum(place, len(grid) - 1)
    for tree in range(leaves.shape[1]):
        np.add.at(cdf, (leaves[:, tree], place), 1.0)
    np.cumsum(cdf, axis=1, out=cdf)
    cdf /= np.maximum(cdf[:, -1:], 1)
    return cdf
