"""The single best of several regressors of the request, by R².

Source: Tanash, Andresen, Hsu, "AMPRO-HPCC: A Machine-Learning Tool for Predicting Resources on Slurm HPC Clusters",
ADVCOMP 2021; Tanash et al., "Improving HPC system performance by predicting job resources via supervised machine
learning", PEARC 2019: regressors of scikit-learn and LightGBM on what `sacct` tells of the request, the best by R²
kept. Ours: xgboost's trees grown leaf by leaf stand for LightGBM; the R² is that on the newest fifth, after which the
winner is fitted on all; texts are the hash buckets of `features.CATEGORY_NAMES`; what is said is taken as the
allocation, doubled after a failure.
"""

import warnings
from typing import Any

import numpy as np

from crowdrun.predictor.baselines.refitted import Refitted
from crowdrun.predictor.features import REQUEST_NAMES, Features
from crowdrun.predictor.quantiles import Array

HELD_BACK = 5


class Ampro(Refitted):
    """The best of linear, ridge, lasso, elastic net, tree, forest and boosting."""

    name = "ampro"
    title = "single best regressor (AMPRO)"

    def fit(self, features: Features, value_log2: Array) -> None:
        from sklearn.exceptions import ConvergenceWarning

        inputs, memory = _inputs(features), np.exp2(value_log2)
        old = len(memory) - len(memory) // HELD_BACK
        with warnings.catch_warnings():
            # A candidate that has not converged is a worse candidate, no more.
            warnings.simplefilter("ignore", ConvergenceWarning)
            scores = [
                one.fit(inputs[:old], memory[:old]).score(inputs[old:], memory[old:]) for one in _regressors(self.seed)
            ]
            self._model = _regressors(self.seed)[int(np.argmax(scores))].fit(inputs, memory)

    def predict(self, features: Features) -> Array:
        result: Array = np.log2(np.maximum(self._model.predict(_inputs(features)), 1.0))[:, None]
        return result


def _inputs(features: Features) -> Array:
    """(n, inputs) the request alone: no history, as there."""
    request = np.nan_to_num(features.numeric[:, : len(REQUEST_NAMES)].astype(np.float64), nan=-1.0)
    return np.column_stack([request, features.categories])


def _regressors(seed: int) -> list[Any]:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeRegressor
    from xgboost import XGBRegressor

    linear = (LinearRegression(), Ridge(), Lasso(tol=0.1), ElasticNet(tol=0.1))
    return [
        *(make_pipeline(StandardScaler(), one) for one in linear),
        DecisionTreeRegressor(random_state=seed),
        RandomForestRegressor(20, max_depth=12, random_state=seed),
        XGBRegressor(n_estimators=60, grow_policy="lossguide", max_depth=0, max_leaves=31, n_jobs=1, random_state=seed),
    ]
