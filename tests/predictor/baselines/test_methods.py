"""Every published method on histories that were worked out by hand, and the contract that all of them keep."""

import math
from typing import Any

import numpy as np
import pytest

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted
from crowdrun.predictor.baselines.decaying_histogram import DecayingHistogram
from crowdrun.predictor.baselines.refitted import play_refitted
from crowdrun.predictor.baselines.registry import BASELINES, REFITTED
from crowdrun.predictor.baselines.sizey import best_offset
from crowdrun.predictor.history import History
from crowdrun.predictor.items import Items
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import LEVELS
from crowdrun.predictor.replay import look
from crowdrun.predictor.target import TARGETS_BY_NAME

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
        # Four of its first five jobs, none with a larger input.
        ("ponder", math.nan),
        # The newest peak weighs most, each an hour apart; the end of the bucket that holds 1000 is 1027.2.
        ("vpa_p90", 1.15 * 1027.2),
        ("vpa_p95", 1.15 * 1027.2),
        # Never refreshed before: the mean of all (three learners and the neighbours alike) plus 5%.
        ("sizey", 475 * 1.05),
    ],
)  # fmt: skip
def test_a_method_on_four_peaks(name: str, expected: float) -> None:
    said = taught(name, [1000.0, 300.0, 200.0, 400.0]).allocate(JOB)
    assert said == pytest.approx(expected, rel=1e-4, nan_ok=True)


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


def test_ponder_keeps_its_line_within_the_peaks_seen_and_the_request() -> None:
    sizes = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    model = taught("ponder", [100.0 * size for size in sizes], sizes=sizes)

    def said(size: float, request_mb: float = math.nan) -> float:
        return model.allocate(Submitted(submit_time=0.0, request_mb=request_mb, size=size))

    # The line is exact: 128 MB on top, no less than the smallest peak, above the largest only beyond the inputs seen.
    assert said(2.5) == pytest.approx(250 + 128)
    assert said(0.1) == pytest.approx(100 + 128)
    assert said(9.0) == pytest.approx(900 + 128)
    assert said(2.5, request_mb=300.0) == 300.0


def test_ponder_asks_for_the_largest_peak_before_the_fifth_job_if_a_larger_input_was_seen() -> None:
    model = taught("ponder", [100.0, 300.0], sizes=[1.0, 5.0])
    assert model.allocate(Submitted(submit_time=0.0, request_mb=4096.0, size=3.0)) == 300 + 128
    assert math.isnan(model.allocate(Submitted(submit_time=0.0, request_mb=4096.0, size=5.0)))


def test_the_histogram_forgets_by_half_a_day() -> None:
    histogram = DecayingHistogram()
    for _ in range(100):
        histogram.add(1000.0, 0.0)
    # After seven days a hundred samples weigh 100 / 128.
    histogram.add(100.0, 7 * 86400.0)
    assert histogram.percentile(0.5) == pytest.approx(105, abs=5)
    histogram.add(1000.0, 365 * 86400.0)
    assert histogram.percentile(0.01) > 1000.0


def test_sizey_follows_the_size_and_learns_its_offset_from_its_errors() -> None:
    sizes = np.tile([1000.0, 2000.0, 4000.0, 8000.0], 12).tolist()
    model = taught("sizey", [size / 2 for size in sizes[:24]], sizes=sizes[:24])
    small, large = (Submitted(submit_time=0.0, request_mb=math.nan, size=size) for size in (1000.0, 8000.0))
    assert model.allocate(large) > 3 * model.allocate(small)
    for size in sizes[24:]:
        model.learn(
            Submitted(submit_time=0.0, request_mb=math.nan, size=size),
            Ended(peak_mb=size / 2, run_time_s=60.0, end_time=0.0),
        )
    # What it said of the 24 that came was nearly right, so there is next to no offset.
    assert model.allocate(large) == pytest.approx(4000.0, rel=0.2)
    assert model.retry(large, 1000.0) == 4000.0
    assert model.retry(large, 3900.0) == 7800.0


def test_the_dynamic_offset_is_the_one_that_wastes_least() -> None:
    said, peaks = np.full(10, 100.0), np.full(10, 110.0)
    # All errors are 1/11: the median lifts 100 to 109.1, which fails; only the deviations (0) are worse or as bad.
    assert best_offset(np.full(10, 1 / 11), said, peaks) == 0.0
    assert best_offset(np.full(10, 0.1), said, peaks) == pytest.approx(0.1)


@pytest.mark.parametrize("name", REFITTED)
def test_a_refitted_method_learns_the_families_and_says_what_cannot_be_crossed(name: str, lesson: Any) -> None:
    value = lesson.target + lesson.features.anchor
    model = REFITTED[name](seed=0)
    model.fit(lesson.features.rows(slice(0, 700)), value[:700])
    said = model.predict(lesson.features.rows(slice(700, 900)))
    assert said.shape in {(200, 1), (200, len(LEVELS))}
    assert np.isfinite(said).all()
    assert (np.diff(said, axis=1) >= 0).all()
    middle = said[:, said.shape[1] // 2]
    assert np.median(np.abs(middle - value[700:])) < np.median(np.abs(np.median(value[:700]) - value[700:]))


def test_refitted_methods_see_only_what_had_ended(make_jobs: Any) -> None:
    log = LearningLog.of(make_jobs(400))
    target = TARGETS_BY_NAME["mem_mb"]
    features, value = look(log, target, History(), Items()).features, log.values_log2(target)
    said = play_refitted(log, features, value, {"ampro": REFITTED["ampro"]}, refits=4, seed=0)["ampro"]
    changed = value.copy()
    changed[np.flatnonzero(log.end_time > log.submit_time[300])] += 5.0
    again = play_refitted(log, features, changed, {"ampro": REFITTED["ampro"]}, refits=4, seed=0)["ampro"]
    np.testing.assert_array_equal(said[:400], again[:400])
    assert np.isnan(said[:100]).all()
    assert not np.isnan(said[100:]).any()
