"""Rules of thumb: what they see of the past, and the figures that an independent judge found on a public log."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.reading import load_jobs
from crowdrun.predictor.baselines.rules import REQUEST, RULES, mean_of_last_two, rule_allocations
from crowdrun.predictor.evaluation.metrics import Judged
from crowdrun.predictor.learning_log import LearningLog

#: GB·h wasted in millions, and first-attempt failures in per cent, of 9,421 jobs of iu-mason.
KNOWN = {
    REQUEST: (4.1476, 0.16),
    "1.2 x max of last 10": (1.9610, 14.21),
    "95th percentile": (2.0835, 17.83),
    "95th percentile x 1.2": (2.0227, 11.87),
    "1.5 x max": (2.7579, 7.79),
    "most frequent class": (1.9919, 24.12),
}


def log_of(rows: list[tuple[str, str, float, float, float, float]], request: float | None = 8000.0) -> LearningLog:
    """Rows of user, name, submit, start, end, peak."""
    jobs = pd.DataFrame(rows, columns=["user", "job_name", "submit_time", "start_time", "end_time", "peak_mem_mb"])
    return LearningLog.of(
        jobs.assign(job_id=[str(i) for i in range(len(jobs))], state="COMPLETED", req_mem_mb=request, req_nodes=1.0)
    )


def test_the_closest_history_that_is_not_empty_is_used() -> None:
    log = log_of(
        [
            ("ada", "train-1", 0, 0, 100, 500.0),
            ("bob", "other", 0, 0, 100, 100.0),
            ("ada", "train-22", 200, 200, 300, 1.0),
            ("ada", "new", 200, 200, 300, 1.0),
            ("eve", "new", 200, 200, 300, 1.0),
        ]
    )
    largest = rule_allocations(log)["1.5 x max"]
    assert largest.tolist() == [8000.0, 8000.0, 750.0, 750.0, 750.0]
    assert rule_allocations(log)["most frequent class"][4] == 512.0


def test_only_jobs_that_had_ended_are_seen() -> None:
    log = log_of([("ada", "a", 0, 0, 100, 500.0), ("ada", "a", 99, 99, 300, 1.0), ("ada", "a", 100, 100, 300, 1.0)])
    assert rule_allocations(log)["1.5 x max"].tolist() == [8000.0, 8000.0, 750.0]


def test_no_allocation_changes_when_the_future_is_cut_off() -> None:
    random = np.random.default_rng(0)
    submit, run, peak = np.sort(random.uniform(0, 1e4, 300)), random.uniform(20, 900, 300), random.uniform(50, 5e3, 300)
    rows = [
        (f"u{row % 5}", f"n{row % 3}x", submit[row], submit[row] + 5, submit[row] + 5 + run[row], peak[row])
        for row in range(300)
    ]
    whole, cut = rule_allocations(log_of(rows)), rule_allocations(log_of(rows[:150]))
    for name in (REQUEST, *RULES):
        np.testing.assert_array_equal(whole[name][:150], cut[name])


def test_peaks_that_cannot_be_believed_teach_nothing() -> None:
    log = log_of([("ada", "a", 0, 0, 100, 0.0), ("ada", "a", 0, 0, 9, 700.0), ("ada", "a", 200, 200, 300, 1.0)])
    assert rule_allocations(log)["1.5 x max"].tolist() == [8000.0] * 3


def test_without_history_and_request_nothing_is_said() -> None:
    log = log_of([("ada", "a", 0, 0, 100, 500.0)], request=None)
    assert all(np.isnan(allocation[0]) for allocation in rule_allocations(log).values())


def test_each_rule_on_one_history() -> None:
    peaks = [1000.0] + [float(mb) for mb in range(101, 120)]
    assert {name: rule(peaks) for name, rule in RULES.items()} == pytest.approx(
        {
            "1.2 x max of last 10": 1.2 * 119,
            "95th percentile": 119.0,
            "95th percentile x 1.2": 1.2 * 119,
            "1.5 x max": 1500.0,
            "most frequent class": 128.0,
        }
    )


def test_the_mean_of_the_last_two_is_of_the_same_user_and_of_ended_jobs() -> None:
    log = log_of(
        [
            ("ada", "a", 0, 0, 40, 1.0),
            ("ada", "b", 50, 50, 70, 1.0),
            ("ada", "c", 60, 60, 100, 1.0),
            ("bob", "a", 80, 80, 100, 1.0),
            ("ada", "a", 100, 100, 200, 1.0),
        ]
    )
    run_time = np.array([40.0, 20.0, np.nan, 20.0, 100.0])
    np.testing.assert_array_equal(mean_of_last_two(log, run_time), [np.nan, 40.0, 40.0, np.nan, 30.0])


def test_the_figures_of_an_independent_judge_are_reproduced(traces: Path) -> None:
    log = LearningLog.of(load_jobs([traces / "iu-mason-2017.pbs-accounting.xz"], "pbs"))
    judged = Judged.of(log)
    assert len(judged.rows) == 9421
    for name, allocation in rule_allocations(log).items():
        tried = judged.attempts(allocation)
        wasted, failed = KNOWN[name]
        assert tried.waste_gbh.sum() / 1e6 == pytest.approx(wasted, abs=5e-5), name
        assert 100 * tried.failed.mean() == pytest.approx(failed, abs=5e-3), name
