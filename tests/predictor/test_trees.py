"""The flat form of trees against the libraries that grew them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from crowdrun.predictor.learners import boosted, forest
from crowdrun.predictor.trees import Trees, load_trees

COLUMNS = 12


def random_table(rows: int, seed: int, *, unknown: float) -> NDArray[np.float32]:
    """Columns of many sizes, one of few values and one that never varies; a share of all is NaN."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, COLUMNS)) * 10.0 ** rng.integers(-3, 4, COLUMNS)
    table[:, 0] = rng.integers(0, 4, rows)
    table[:, 1] = 7.0
    table[rng.random(table.shape) < unknown] = np.nan
    return table.astype(np.float32)


def target_of(table: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=len(table))
    return np.nan_to_num(table[:, 0], nan=2.0) + np.isnan(table[:, 2]) + 0.2 * noise


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [ExtraTreesRegressor, RandomForestRegressor])
def test_a_flat_forest_ends_in_the_leaves_of_scikit_learn(kind: Any, seed: int) -> None:
    learned = np.nan_to_num(random_table(500, seed, unknown=0.2), nan=forest.UNKNOWN)
    asked = np.nan_to_num(random_table(2000, seed + 100, unknown=0.4), nan=forest.UNKNOWN)
    grown = kind(15, min_samples_leaf=3, random_state=seed).fit(learned, target_of(learned, seed))
    trees = forest.flat_trees(grown)
    for table in (learned, asked):
        np.testing.assert_array_equal(trees.leaves(table) - trees.roots, grown.apply(table))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unknown", [0.0, 0.3, 1.0])
def test_flat_boosted_trees_predict_what_xgboost_does(seed: int, unknown: float) -> None:
    learned = random_table(600, seed, unknown=0.2)
    settings = boosted.Boosted(seed)._parameters()
    booster = xgboost.train(settings, xgboost.QuantileDMatrix(learned, target_of(learned, seed), max_bin=32), 20)
    trees, leaf_values, output, start = boosted.flat_trees(booster, settings["max_depth"])
    asked = random_table(2000, seed + 100, unknown=unknown)
    flat = leaf_values[trees.leaves(asked)] @ output + start
    np.testing.assert_allclose(flat, booster.inplace_predict(asked), atol=1e-5)


def test_a_value_at_the_threshold_goes_where_the_library_sends_it() -> None:
    one_split = {
        "roots": np.array([0], np.int32),
        "feature": np.zeros(3, np.int32),
        "threshold": np.array([1.5, 0, 0], np.float32),
        "left": np.array([1, 1, 2], np.int32),
        "right": np.array([2, 1, 2], np.int32),
        "unknown_left": np.array([True, False, False]),
        "depth": np.array(1),
    }
    asked = np.array([[1.0], [1.5], [2.0], [np.nan]], np.float32)
    as_sklearn = Trees.from_arrays({**one_split, "equal_left": np.array(True)})
    assert as_sklearn.leaves(asked)[:, 0].tolist() == [1, 1, 2, 1]
    as_xgboost = Trees.from_arrays({**one_split, "equal_left": np.array(False)})
    assert as_xgboost.leaves(asked)[:, 0].tolist() == [1, 2, 2, 1]


def test_trees_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    learned = np.nan_to_num(random_table(200, 0, unknown=0.2), nan=forest.UNKNOWN)
    trees = forest.flat_trees(ExtraTreesRegressor(5, random_state=0).fit(learned, target_of(learned, 0)))
    leaf_values = np.arange(len(trees.feature), dtype=np.float64)
    np.savez(tmp_path / "trees.npz", leaf_values=leaf_values, **trees.arrays())
    loaded, values = load_trees(tmp_path / "trees.npz")
    np.testing.assert_array_equal(loaded.leaves(learned), trees.leaves(learned))
    np.testing.assert_array_equal(values, leaf_values)
