"""Gradient-boosted trees, one quantile a set of trees (xgboost, `reg:quantileerror`)."""

import json
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
from crowdrun.predictor.quantiles import LEVELS, Array, between, logit
from crowdrun.predictor.settings import PartSettings, searched
from crowdrun.predictor.trees import Trees, Walk, join, load_trees

#: Levels that are boosted; the others are interpolated in the logit (seven cost half of thirteen, docs/log.md).
BOOSTED_LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.9, 0.975, 0.995])
#: Bins of a feature's histogram (docs/log.md).
MAX_BIN = 32
OWN_FORM_FILE = "boosted.ubj"
#: Flat form against xgboost's own prediction, log2.
LARGEST_DIFFERENCE = 1e-3

#: Where each of LEVELS lies between two boosted ones, in the logit.
_GRID = logit(BOOSTED_LEVELS)
_UPPER = np.clip(np.searchsorted(_GRID, logit(LEVELS)), 1, len(_GRID) - 1)
_SHARE = np.clip((logit(LEVELS) - _GRID[_UPPER - 1]) / (_GRID[_UPPER] - _GRID[_UPPER - 1]), 0, 1)


@dataclass(frozen=True, kw_only=True)
class BoostedSettings(PartSettings):
    """In xgboost's own words (its documentation, "XGBoost Parameters")."""

    rounds: int = searched(60, 20, 200, log=True)
    max_depth: int = searched(5, 2, 8)
    eta: float = searched(0.12, 0.03, 0.4, log=True)
    min_child_weight: float = searched(8.0, 1.0, 50.0, log=True)
    subsample: float = searched(0.8, 0.4, 1.0)
    colsample_bytree: float = searched(0.3, 0.1, 0.9)


class Boosted(Learner):
    name = "boosted"
    fits_with = "xgboost"
    settings_type = BoostedSettings
    settings: BoostedSettings
    #: xgboost's own form of the trees (UBJ), for explanations; None of a model that was published without it.
    own_form: bytes | None = None

    def fit(self, features: Features, target: Array) -> None:
        import xgboost

        data = xgboost.QuantileDMatrix(features.numeric, target, max_bin=MAX_BIN)
        booster = xgboost.train(self._parameters(), data, self.settings.rounds)
        self._trees, self._leaf_values, self._output, self._start = flat_trees(booster, self.settings.max_depth)
        self.own_form = bytes(booster.save_raw("ubj"))
        sample = features.rows(slice(-64, None))
        difference = np.abs(_Boosters([self]).levels(Panel.of(sample)) - booster.inplace_predict(sample.numeric)).max()
        if difference > LARGEST_DIFFERENCE:
            raise ModelError(f"the flat form of the boosted trees is {difference:.2g} off xgboost's; do not publish it")

    def _parameters(self) -> dict[str, Any]:
        chosen: dict[str, Any] = self.settings.to_json()
        del chosen["rounds"]
        return chosen | {
            "objective": "reg:quantileerror", "tree_method": "hist", "max_bin": MAX_BIN, "nthread": 1,
            "quantile_alpha": BOOSTED_LEVELS, "seed": self.seed,
        }  # fmt: skip

    @classmethod
    def joint(cls, members: Sequence[Self]) -> Joint:
        return _Boosters(members)

    def save(self, folder: Path) -> None:
        np.savez(
            folder / "boosted.npz", leaf_values=self._leaf_values, output=self._output, start=self._start,
            **self._trees.arrays(),  # type: ignore[arg-type]
        )  # fmt: skip
        if self.own_form:
            (folder / OWN_FORM_FILE).write_bytes(self.own_form)

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        learner = cls(settings=settings)
        learner._trees, learner._leaf_values = load_trees(folder / "boosted.npz")
        arrays = load_arrays(folder / "boosted.npz")
        learner._output, learner._start = arrays["output"].astype(np.float64), arrays["start"].astype(np.float64)
        own_form = folder / OWN_FORM_FILE
        learner.own_form = own_form.read_bytes() if own_form.exists() else None
        return learner


class _Boosters(Joint):
    def __init__(self, members: Sequence[Boosted]) -> None:
        trees = [member._trees for member in members]
        self._width = 1 + max(int(one.feature.max(initial=0)) for one in trees)
        self._walk = trees[0].walk if len(members) == 1 else Walk(trees, self._width)
        self._leaf_values = np.concatenate([member._leaf_values for member in members])
        #: The trees of each target, which level each of them adds to, and what the levels start from.
        ends = np.cumsum([len(one.roots) for one in trees]).tolist()
        self._parts = [
            (slice(end - len(member._output), end), member._output, member._start)
            for end, member in zip(ends, members, strict=True)
        ]

    def predict(self, panel: Panel) -> Array:
        values = np.sort(self.levels(panel), axis=1)
        return between(values.take(_UPPER - 1, axis=1), values.take(_UPPER, axis=1), _SHARE)

    def levels(self, panel: Panel) -> Array:
        """(rows, len(BOOSTED_LEVELS)), as they were boosted: they may cross."""
        numeric = panel.by_job(panel.features.numeric[:, : self._width])
        values = self._leaf_values.take(self._walk.leaves(numeric))
        return np.concatenate([values[:, part] @ output + start for part, output, start in self._parts])


def flat_trees(booster: Any, depth: int) -> tuple[Trees, Array, Array, Array]:
    """Trees, the value of each node, (trees, levels) which tree adds to which level, and the starting values."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    model = learner["gradient_booster"]["model"]
    parts: list[dict[str, NDArray[np.generic]]] = []
    values = []
    for tree in model["trees"]:
        left = np.array(tree["left_children"], dtype=np.int32)
        condition = np.array(tree["split_conditions"], dtype=np.float32)
        parts.append({
            "feature": np.array(tree["split_indices"], dtype=np.int32), "threshold": condition, "left": left,
            "right": np.array(tree["right_children"], dtype=np.int32),
            "unknown_left": np.array(tree["default_left"], dtype=np.bool_),
        })  # fmt: skip
        values.append(np.where(left == -1, condition, 0.0))
    output = np.zeros((len(parts), len(BOOSTED_LEVELS)))
    output[np.arange(len(parts)), np.array(model["tree_info"])] = 1.0
    start = np.array(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float64)
    return join(parts, depth=depth, equal_left=False), np.concatenate(values), output, start
