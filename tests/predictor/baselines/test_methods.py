"""Every published method on histories that were worked out by hand, and the contract that all of them keep."""

import math

import numpy as np
import pytest

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted
from crowdrun.predictor.baselines.registry import BASELINES

JOB = Submitted(submit_time=1000.0, request_mb=4096.0, size=4096.0)


def taught(
    name: str, peaks: list[float], *, sizes: list[float] | None = None, hours: list[float] | None = None
) -> Baseline:
    """A model that learnt from jobs with these peaks, one an hour."""
    model = BASELINES[name]()
    for place, peak in enumerate(peaks):
        size = sizes[place] if sizes else 4096.0
        run_time = 3600.0 * (hours[place] if hours else 1.0)
        job = Submitted(submit_time=3600.0 * place, request_mb=4096.0, size=size)
        model.learn(job, Ended(peak_mb=peak, run_time_s=run_time, end_time=3600.0 * place + run_time))
    return model


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("request", 4096.0),
        ("last_2_max", 400.0),
        ("last_10_max", 1000.0),
        # Ordered 200, 300, 400, 1000: place 0.95 x 3 = 2.85.
        ("witt_percentile", 400 + 0.85 * 600),
        # The mean; errors (300 - 1000) / 300, (200 - 650) / 200, (400 - 500) / 400.
        ("witt_lr", 475 * (1 + np.std([-700 / 300, -450 / 200, -100 / 400]))),
        ("witt_lr_max", 475.0),
        # a + 1000 x share above a: 200 + 750, 300 + 500, 400 + 250, 1000 + 0.
        ("tovar_waste", 400.0),
        # (1000 / a x (1 - P) + P) / (1 + P): 1.14, 1.44, 1.70, 1.
        ("tovar_throughput", 400.0),
    ],
)  # fmt: skip
def test_a_method_on_four_peaks(name: str, expected: float) -> None:
    assert taught(name, [1000.0, 300.0, 200.0, 400.0]).allocate(JOB) == pytest.approx(expected)


def test_the_regression_follows_the_size() -> None:
    model = taught("witt_lr_max", [100.0, 200.0, 300.0], sizes=[1.0, 2.0, 3.0])
    # The errors were (200 - 100) / 200 and 0; the line goes through all three.
    assert model.allocate(Submitted(submit_time=0.0, request_mb=math.nan, size=4.0)) == pytest.approx(400 * 1.5)


def test_a_regression_that_goes_below_nothing_gives_the_largest_peak() -> None:
    model = taught("witt_lr", [100.0, 300.0], sizes=[1.0, 3.0])
    assert model.allocate(Submitted(submit_time=0.0, request_mb=math.nan, size=-5.0)) == 300.0


def test_the_first_allocation_weighs_by_run_time() -> None:
    assert taught("tovar_waste", [100.0, 1000.0], hours=[9.0, 1.0]).allocate(JOB) == 100.0
    assert taught("tovar_waste", [100.0, 1000.0], hours=[1.0, 9.0]).allocate(JOB) == 1000.0


@pytest.mark.parametrize("name", BASELINES)
def test_a_method_answers_from_its_fewest_jobs_on_and_its_retries_grow(name: str) -> None:
    model = taught(name, [300.0] * BASELINES[name].fewest)
    said = model.allocate(JOB)
    assert math.isnan(said) or said > 0
    assert model.retry(JOB, 100.0) > 100.0


@pytest.mark.parametrize("name", BASELINES)
def test_a_method_is_named_and_explains_itself(name: str) -> None:
    assert BASELINES[name].name == name
    assert BASELINES[name].title
    assert BASELINES[name].__doc__


@pytest.mark.parametrize("name", BASELINES)
def test_a_method_says_the_same_of_the_same_history(name: str) -> None:
    peaks = np.random.default_rng(0).uniform(100, 900, 40).tolist()
    sizes = np.random.default_rng(1).uniform(1, 9, 40).tolist()
    first, again = taught(name, peaks, sizes=sizes), taught(name, peaks, sizes=sizes)
    assert first.allocate(JOB) == again.allocate(JOB)
