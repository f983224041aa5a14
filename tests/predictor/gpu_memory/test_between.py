"""A batch between two that were traced is what its own trace says."""

from fractions import Fraction
from functools import partial

import pytest

from crowdrun.data.errors import ForecastError
from crowdrun.data.forecast import ForecastSettings
from crowdrun.predictor.gpu_memory.between import between
from crowdrun.predictor.gpu_memory.card_models import Configuration, program_of
from crowdrun.predictor.gpu_memory.forecast import forecast_of
from crowdrun.predictor.gpu_memory.program import Program
from crowdrun.predictor.gpu_memory.step import TracedStep, trace_step
from tests.predictor.gpu_memory.zoo import Language, adamw, predict, tokens

HOW = ForecastSettings()


def of_language(batch: int, layers: int = 2) -> TracedStep:
    model, samples = partial(Language, layers=layers, width=64), partial(tokens, batch)
    return trace_step(Program(model=model, batch=samples, loss=predict, optimizer=adamw), HOW)


def of_convolutions(batch: int) -> TracedStep:
    return trace_step(
        program_of(Configuration(family="cnn", size=1, batch=batch, precision="fp32", checkpointing=False)), HOW
    )


@pytest.mark.parametrize("traced", [of_language, of_convolutions])
def test_a_batch_between_two_is_forecast_as_if_it_were_traced(traced: partial[TracedStep]) -> None:
    said = forecast_of(between(traced(8), traced(40), Fraction(1, 4)), HOW)
    itself = forecast_of(traced(16), HOW)
    assert said.features == itself.features
    assert (said.allocated_mb, said.reserved_mb, said.split) == (
        itself.allocated_mb, itself.reserved_mb, itself.split
    )  # fmt: skip


def test_steps_that_take_other_storages_are_refused() -> None:
    with pytest.raises(ForecastError, match="in another order"):
        between(of_language(8, layers=1), of_language(16, layers=2), Fraction(1, 2))


def test_a_size_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(ForecastError, match="does not grow evenly"):
        between(of_language(8), of_language(9), Fraction(1, 1024))


def test_the_convolutions_of_a_step_are_noted_with_what_cudnn_chooses_by() -> None:
    features = forecast_of(of_convolutions(16), HOW).features
    # 64 channels of 64 x 64, fp32, in and out: 2 x 16 MiB.
    assert features["window_io"] == 2 * 16 * 64 * 64 * 64 * 4 / 2**20
    assert features["strided_weight"] == 64 * 3 * 7 * 7 * 4 / 2**20
    # One strided, sixteen windows; forward and backward.
    assert features["convolutions"] == 34
    assert features["grouped_io"] == 0
