"""The largest batch that fits, and what would make the wanted one fit."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.forecast import Fit, Forecast, ForecastSettings
from crowdrun.predictor.gpu_memory.device import UNMEASURED
from crowdrun.predictor.gpu_memory.fit import fit, largest_batch
from crowdrun.predictor.gpu_memory.forecast import forecast
from tests.predictor.gpu_memory.zoo import Language, adamw, predict, tokens

SETTINGS = ForecastSettings()


def ask(batch: int, settings: ForecastSettings) -> Forecast:
    return forecast(
        partial(Language, layers=2, width=128), partial(tokens, batch), loss_fn=predict, optimizer_fn=adamw,
        settings=settings,
    )  # fmt: skip


def fitted(limit_mb: float, **more: Any) -> Fit:
    return fit(ask, 64, SETTINGS, limit_mb=limit_mb, risk=0.05, overhead=UNMEASURED, **more)


@given(st.floats(1, 1000), st.floats(0.01, 50), st.integers(0, 4000), st.integers(1, 500))
def test_the_largest_batch_fits_and_one_more_does_not(fixed: float, each: float, limit: int, start: int) -> None:
    def needed(batch: int) -> float:
        # In steps, as the allocator's segments are.
        return fixed + (each * batch) // 20 * 20

    found = largest_batch(needed, limit, start=start)
    assert found == 0 or needed(found) <= limit
    assert needed(found + 1) > limit


def test_a_batch_that_fits_needs_no_remedy() -> None:
    said = fitted(40_000)
    assert said.fits
    assert not said.remedies
    assert said.largest_micro_batch > 64


def test_each_remedy_that_fits_is_forecast_to_fit() -> None:
    said = fitted(640)
    assert not said.fits
    assert 0 < said.largest_micro_batch < 64
    names = {remedy.name: remedy for remedy in said.remedies}
    assert names.keys() == {"bf16", "checkpointing", "bf16 and checkpointing", "accumulation", "fsdp"}
    for remedy in said.remedies:
        mb = ask(remedy.micro_batch, remedy.settings).device_mb * UNMEASURED.margin(0.05)
        assert (mb, remedy.fits) == (pytest.approx(remedy.needed_mb), mb <= 640)
    assert names["accumulation"].fits
    assert f"{names['accumulation'].micro_batch} samples" in names["accumulation"].cost


def test_where_nothing_fits_it_is_said() -> None:
    said = fitted(100)
    assert said.largest_micro_batch == 0
    assert not any(remedy.fits for remedy in said.remedies)


def test_a_smaller_risk_takes_a_larger_margin() -> None:
    assert UNMEASURED.margin(0.01) > UNMEASURED.margin(0.1) > UNMEASURED.margin(0.5)
