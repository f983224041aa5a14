"""Gradient-boosted trees with a quantile objective, as they come: what a crowd has to be better than.

Source: xgboost, `reg:quantileerror`; the crowd's own features, levels and number of trees, but log2 of the memory
itself in place of what it is relative to the family's, no mixture, no calibration and no bound by the request.
"""

import numpy as np

from crowdrun.predictor.baselines.refitted import Refitted
from crowdrun.predictor.features import Features
from crowdrun.predictor.learners.boosted import Boosted
from crowdrun.predictor.quantiles import Array


class QuantileBooster(Refitted):
    """A plain quantile booster."""

    name = "booster"
    title = "plain quantile booster (xgboost)"

    def fit(self, features: Features, value_log2: Array) -> None:
        # Trees start at the median of what they learn from; around 0 they need the fewest rounds to reach the rest.
        self._middle = float(np.median(value_log2))
        self._model = Boosted(self.seed)
        self._model.fit(features, value_log2 - self._middle)

    def predict(self, features: Features) -> Array:
        return self._model.predict(features) + self._middle
