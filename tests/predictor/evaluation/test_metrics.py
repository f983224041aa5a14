"""Metrics against counts by hand, and bootstrap intervals against what they promise."""

import numpy as np
import pytest

from crowdrun.predictor.evaluation.bootstrap import RESAMPLES, Resamples
from crowdrun.predictor.evaluation.metrics import (
    Attempts,
    Judged,
    accuracy_by_segment,
    attempts,
    beats,
    coverage,
    mean_pinball,
)
from crowdrun.predictor.quantiles import GRID, LEVELS, Array


def one(allocation: float, peak: float, *, hours: float = 2.0, cap: float = 8192.0) -> Attempts:
    return attempts(np.array([allocation]), peak_mb=np.array([peak]), hours=np.array([hours]), cap_mb=cap)


def judged(peak: Array, users: Array) -> Judged:
    hours = np.ones(len(peak))
    resamples = Resamples.over_users(users.astype(str))
    return Judged(rows=np.arange(len(peak)), peak_mb=peak, hours=hours, cap_mb=1e6, resamples=resamples)


def test_an_allocation_that_fits_wastes_what_it_does_not_use() -> None:
    tried = one(3072, 1024)
    assert (tried.waste_gbh[0], tried.used_gbh[0], tried.failed[0], tried.retries[0]) == (4.0, 2.0, 0.0, 0.0)
    assert tried.held_log2[0] == pytest.approx(np.log2(3))


def test_a_failed_attempt_wastes_all_that_it_held_and_doubles_until_it_fits() -> None:
    tried = one(512, 1536)
    # 512 and 1024 MB failed for 2 h each, then 512 of 2048 MB were not used.
    assert tried.waste_gbh[0] == pytest.approx((0.5 + 1.0 + 0.5) * 2)
    assert (tried.failed[0], tried.retries[0]) == (1.0, 2.0)
    assert tried.held_log2[0] == pytest.approx(np.log2((512 + 1024 + 2048) / 1536))
    assert tried.error_log2[0] == pytest.approx(np.log2(3))


def test_no_attempt_is_larger_than_the_cap_and_an_unknown_allocation_is_the_cap() -> None:
    assert one(900, 1000, cap=1024).held_log2[0] == pytest.approx(np.log2((900 + 1024) / 1000))
    assert one(float("nan"), 1000, cap=1024).waste_gbh[0] == pytest.approx(24 / 1024 * 2)
    assert one(5000, 1000, cap=1024).failed[0] == 0.0


def test_an_allocation_of_exactly_the_peak_does_not_fail() -> None:
    assert one(1000, 1000).failed[0] == 0.0


def test_an_allocation_of_nothing_climbs_from_one_mb() -> None:
    assert one(0, 5).retries[0] == 3.0


def test_wastage_is_a_share_of_the_request_within_its_interval() -> None:
    random = np.random.default_rng(0)
    peak, users = random.uniform(100, 900, 2000), random.integers(0, 40, 2000)
    judge = judged(peak, users)
    request, half = (judge.attempts(allocation) for allocation in (peak + 1000, peak + 500))
    wastage = judge.wastage(half, request)
    assert wastage.waste_of_request.value == pytest.approx(0.5)
    assert wastage.waste_gbh.value == pytest.approx(2000 * 500 / 1024)
    # Every job wastes the same, so there is nothing to be unsure of.
    assert wastage.waste_gbh.low == pytest.approx(wastage.waste_gbh.high)
    assert wastage.maq.value == pytest.approx(peak.sum() / (peak + 500).sum())
    assert wastage.median_abs_log2.low <= wastage.median_abs_log2.value <= wastage.median_abs_log2.high


def test_a_rule_is_beaten_only_in_both_counts_and_only_where_it_fails_as_rarely() -> None:
    peak = np.full(100, 1000.0)
    judge = judged(peak, np.arange(100) % 25)
    request = judge.attempts(np.full(100, 4000.0))
    small, large = (judge.wastage(judge.attempts(np.full(100, mb)), request) for mb in (1100.0, 2000.0))
    failing = judge.wastage(judge.attempts(np.full(100, 999.0)), request)
    assert beats(small, [large, failing]) is True
    assert beats(large, [small]) is False
    assert beats(small, [small]) is False


def test_the_interval_over_users_is_wider_where_the_jobs_of_a_user_are_alike() -> None:
    users = np.repeat(np.arange(50), 40)
    alike = (users % 2).astype(float)
    mixed = (np.arange(2000) % 2).astype(float)
    resamples = Resamples.over_users(users.astype(str))
    assert (resamples.unit, resamples.blocks) == ("user", 50)
    wide, narrow = resamples.mean(alike), resamples.mean(mixed)
    assert wide.high - wide.low > 0.2
    assert narrow.high - narrow.low < 0.01


def test_a_log_of_few_users_is_resampled_by_user_and_stretch() -> None:
    resamples = Resamples.over_users(np.array(["ada", "bob"] * 100))
    assert (resamples.unit, resamples.blocks) == ("user and tenth of the log", 20)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    users = np.repeat(np.arange(60), 20).astype(str)
    covered = 0
    for trial in range(200):
        value = np.repeat(random.normal(3.0, 1.0, 60), 20) + random.normal(0, 0.5, 1200)
        interval = Resamples.over_users(users, seed=trial).mean(value)
        covered += interval.low <= 3.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_median_of_resamples_is_that_of_the_jobs_drawn() -> None:
    random = np.random.default_rng(2)
    users, value = np.arange(300) % 30, random.uniform(0, 5, 300)
    resamples = Resamples.over_users(users.astype(str))
    medians = [
        np.median(np.concatenate([np.repeat(value[resamples.block == b], int(k)) for b, k in enumerate(draw) if k]))
        for draw in resamples.drawn
    ]
    interval = resamples.median(value)
    assert len(medians) == RESAMPLES
    assert [interval.low, interval.high] == pytest.approx(np.quantile(medians, [0.025, 0.975]), abs=0.03)


def test_nothing_to_judge_gives_nan_and_no_warning() -> None:
    empty = Resamples.over_users(np.array([], dtype=str))
    assert np.isnan(empty.mean(np.array([])).value)
    assert np.isnan(empty.median(np.array([])).low)
    assert np.isnan(mean_pinball(np.empty((0, len(LEVELS))), np.array([])))


def test_coverage_of_a_true_distribution_is_its_level() -> None:
    random = np.random.default_rng(3)
    # A logistic variable has its quantiles at the logits of the levels.
    value = random.logistic(size=20000)
    quantiles = np.tile(GRID, (len(value), 1))
    shares = coverage(quantiles, value, LEVELS, Resamples.over_users((np.arange(20000) % 100).astype(str)))
    assert [share.value for share in shares] == pytest.approx(LEVELS.tolist(), abs=0.012)
    assert all(share.low <= share.value <= share.high for share in shares)


def test_accuracy_is_told_by_segment_and_a_class_not_said_is_wrong() -> None:
    truth = np.full(10, 7)
    said = np.array([7, 7, 7, -1, 8, 8, 7, 8, -1, -1])
    assert accuracy_by_segment(said, truth) == [1.0, 0.5, 0.0, 0.5, 0.0]
    assert np.isnan(accuracy_by_segment(said[:4], truth[:4])[4])


def test_a_point_counts_as_the_same_at_every_level() -> None:
    value = np.array([3.0, 5.0])
    point, row = np.array([[4.0], [4.0]]), np.full((2, len(LEVELS)), 4.0)
    assert mean_pinball(point, value) == pytest.approx(mean_pinball(row, value))
