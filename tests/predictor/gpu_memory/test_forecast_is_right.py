"""The forecast of a step's tensors, with the CPU's kernels, against the peak of a real run there."""

import pytest

from crowdrun.data.forecast import ForecastSettings
from crowdrun.predictor.gpu_memory.forecast import forecast
from tests.predictor.gpu_memory.real_run import real_peak_bytes
from tests.predictor.gpu_memory.zoo import CASES


@pytest.mark.parametrize("name", CASES)
def test_a_forecast_is_within_one_percent_of_a_real_run(name: str) -> None:
    case = CASES[name]
    settings = ForecastSettings(device="cpu", **case.settings)
    said = forecast(case.model, case.batch, loss_fn=case.loss, optimizer_fn=case.optimizer, settings=settings)
    assert said.allocated_mb * 2**20 == pytest.approx(real_peak_bytes(case, settings), rel=0.01)
    assert said.tree.nbytes == pytest.approx(said.allocated_mb * 2**20, abs=1)
