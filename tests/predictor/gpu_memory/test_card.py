"""What can be tried of the measurement on a GPU where there is none."""

from dataclasses import replace

import pytest

from crowdrun.predictor.gpu_memory.card import Measured, figures, fit_or_not, learn, settings_of
from crowdrun.predictor.gpu_memory.card_batches import asked, largest_batches
from crowdrun.predictor.gpu_memory.card_models import Configuration, configurations, program_of
from crowdrun.predictor.gpu_memory.device import UNMEASURED
from crowdrun.predictor.gpu_memory.forecast import forecast_program

RUNS = [
    Measured(
        configuration=configuration, forecast_allocated=mb, forecast_reserved=1.1 * mb, allocated=mb,
        reserved=1.1 * mb, device=1.05 * 1.1 * mb + 500,
    )
    for configuration, mb in zip(configurations(), range(500, 50_000, 1200), strict=False)
]  # fmt: skip


def test_at_least_thirty_configurations_of_three_families_are_asked() -> None:
    asked = configurations()
    assert len(set(asked)) == len(asked) >= 30
    assert {one.family for one in asked} == {"cnn", "transformer", "lstm"}
    assert {one.precision for one in asked} == {"fp32", "bf16"}
    assert {one.checkpointing for one in asked} == {True, False}


@pytest.mark.parametrize("family", ["cnn", "transformer", "lstm"])
def test_each_family_can_be_forecast(family: str) -> None:
    configuration = next(one for one in configurations() if one.family == family)
    assert forecast_program(program_of(configuration), settings_of(configuration)).allocated_mb > 100


def test_what_the_card_holds_beside_torch_is_learned_from_what_was_measured() -> None:
    overhead = learn(RUNS, "a card")
    assert (overhead.slope, overhead.offset_mb) == (pytest.approx(1.05), pytest.approx(500))
    assert "measured on a card" in overhead.basis
    assert overhead.margin(0.05) == pytest.approx(1, abs=1e-3)


def test_one_run_in_ten_that_needs_a_half_more_widens_the_margin_of_small_risks_alone() -> None:
    some = [replace(one, device=one.device * 1.5) if number % 10 == 5 else one for number, one in enumerate(RUNS)]
    overhead = learn(some, "a card")
    assert overhead.margin(0.05) > 1.3
    assert overhead.margin(0.5) < 1.1


def test_the_result_names_the_card_and_the_errors() -> None:
    found = figures(RUNS, "a card")
    assert found["card"] == "a card"
    assert found["median_error"] == pytest.approx({"allocated": 0, "reserved": 0, "device": 0}, abs=1e-6)
    assert fit_or_not(RUNS, learn(RUNS, "a card")) == {"8GiB": 1, "16GiB": 1, "24GiB": 1, "40GiB": 1}


def test_the_largest_batch_that_is_proposed_is_held_against_the_largest_that_runs() -> None:
    configuration = next(one for one in asked() if one.family == "transformer" and one.precision == "bf16")

    def runs(tried: Configuration, cap_mb: float) -> bool:
        """A card that holds just what is forecast for it."""
        return forecast_program(program_of(tried), settings_of(tried)).device_mb <= cap_mb

    told: list[tuple[int, int]] = []
    (found,) = largest_batches(
        [configuration], UNMEASURED, runs, risk=0.05, total_mb=9000.0, progress=lambda *done: told.append(done)
    )
    assert (found.cap_mb, found.ran, told) == (8192.0, True, [(1, 1)])
    assert 0.8 < found.share < 1.0
