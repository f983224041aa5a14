"""The published methods: name -> class. Adding one is one file and one row; the contract suite runs over all."""

from crowdrun.predictor.baselines.ampro import Ampro
from crowdrun.predictor.baselines.base import Baseline
from crowdrun.predictor.baselines.booster import QuantileBooster
from crowdrun.predictor.baselines.decaying_histogram import VpaTarget, VpaUpperBound
from crowdrun.predictor.baselines.first_allocation import TovarThroughput, TovarWaste
from crowdrun.predictor.baselines.last_maximum import LastTenMaximum, LastTwoMaximum
from crowdrun.predictor.baselines.percentile import WittPercentile
from crowdrun.predictor.baselines.ponder import Ponder
from crowdrun.predictor.baselines.refitted import Refitted
from crowdrun.predictor.baselines.regression import WittRegression, WittRegressionMaximum
from crowdrun.predictor.baselines.request import Request
from crowdrun.predictor.baselines.sizey import Sizey

#: One model a family of jobs.
BASELINES: dict[str, type[Baseline]] = {
    method.name: method
    for method in (
        Request, LastTwoMaximum, LastTenMaximum, WittPercentile, WittRegression, WittRegressionMaximum, TovarWaste,
        TovarThroughput, Ponder, Sizey, VpaTarget, VpaUpperBound,
    )
}  # fmt: skip
#: One model for all jobs.
REFITTED: dict[str, type[Refitted]] = {method.name: method for method in (Ampro, QuantileBooster)}
