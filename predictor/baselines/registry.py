"""The published methods: name -> class. Adding one is one file and one row; the contract suite runs over all."""

from crowdrun.predictor.baselines.base import Baseline
from crowdrun.predictor.baselines.first_allocation import TovarThroughput, TovarWaste
from crowdrun.predictor.baselines.last_maximum import LastTenMaximum, LastTwoMaximum
from crowdrun.predictor.baselines.percentile import WittPercentile
from crowdrun.predictor.baselines.regression import WittRegression, WittRegressionMaximum
from crowdrun.predictor.baselines.request import Request

BASELINES: dict[str, type[Baseline]] = {
    method.name: method
    for method in (
        Request, LastTwoMaximum, LastTenMaximum, WittPercentile, WittRegression, WittRegressionMaximum, TovarWaste,
        TovarThroughput,
    )
}  # fmt: skip
