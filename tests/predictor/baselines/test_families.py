"""Which jobs a method has seen when it is asked, and what it does after a failure."""

import numpy as np
import pandas as pd
import pytest

from crowdrun.predictor.baselines.families import play
from crowdrun.predictor.baselines.known import families_of
from crowdrun.predictor.baselines.registry import BASELINES
from crowdrun.predictor.baselines.rules import rule_allocations
from crowdrun.predictor.learning_log import LearningLog

CHOSEN = {name: BASELINES[name] for name in ("request", "last_10_max", "tovar_waste")}


def log_of(rows: list[tuple[str, str, float, float, float]], request: float | None = 8000.0) -> LearningLog:
    """Rows of user, name, submit, end, peak."""
    jobs = pd.DataFrame(rows, columns=["user", "job_name", "submit_time", "end_time", "peak_mem_mb"])
    return LearningLog.of(
        jobs.assign(
            job_id=[str(i) for i in range(len(jobs))], start_time=jobs["submit_time"], state="COMPLETED",
            req_mem_mb=request, req_nodes=1.0,
        )
    )  # fmt: skip


def test_the_closest_family_that_has_a_history_is_asked() -> None:
    log = log_of(
        [
            ("ada", "train-1", 0, 100, 500.0), ("bob", "other", 0, 100, 100.0), ("ada", "train-22", 200, 300, 1.0),
            ("ada", "new", 200, 300, 1.0), ("eve", "new", 200, 300, 1.0),
        ]
    )  # fmt: skip
    said = play(log, CHOSEN, families_of(log), cap_mb=8000.0)["last_10_max"].first_mb
    assert said.tolist() == [8000.0, 8000.0, 500.0, 500.0, 500.0]


def test_only_jobs_that_had_ended_are_seen() -> None:
    log = log_of([("ada", "a", 0, 100, 500.0), ("ada", "a", 99, 300, 1.0), ("ada", "a", 100, 300, 1.0)])
    said = play(log, CHOSEN, families_of(log), cap_mb=8000.0)["last_10_max"].first_mb
    assert said.tolist() == [8000.0, 8000.0, 500.0]


def test_a_failure_is_followed_by_the_methods_own_retry_up_to_the_cap() -> None:
    rows = [("ada", "a", 100.0 * i, 100.0 * i + 50, peak) for i, peak in enumerate([100.0, 100.0, 100.0, 1000.0])]
    log = log_of([*rows, ("ada", "a", 400.0, 450.0, 3000.0)])
    played = play(log, CHOSEN, families_of(log), cap_mb=3500.0)
    assert played["tovar_waste"].first_mb[4] == 100.0
    assert played["tovar_waste"].later_mb[4] == [1000.0, 2000.0, 3500.0]
    assert played["last_10_max"].later_mb == {3: [200.0, 400.0, 800.0, 1600.0], 4: [2000.0, 3500.0]}
    assert played["request"].later_mb == {}


def test_without_history_and_request_nothing_is_said() -> None:
    log = log_of([("ada", "a", 0, 100, 500.0)], request=None)
    played = play(log, CHOSEN, families_of(log), cap_mb=500.0)
    assert all(np.isnan(one.first_mb[0]) and not one.later_mb for one in played.values())


def test_no_answer_changes_when_the_future_is_cut_off() -> None:
    random = np.random.default_rng(0)
    submit, run, peak = np.sort(random.uniform(0, 1e4, 200)), random.uniform(20, 900, 200), random.uniform(50, 5e3, 200)
    rows = [
        (f"u{row % 4}", f"n{row % 3}x", float(submit[row]), float(submit[row] + run[row]), float(peak[row]))
        for row in range(200)
    ]
    logs = [log_of(rows), log_of(rows[:100])]
    whole, cut = (play(log, BASELINES, families_of(log), cap_mb=8000.0) for log in logs)
    for name in BASELINES:
        np.testing.assert_array_equal(whole[name].first_mb[:100], cut[name].first_mb, name)


def test_the_same_history_as_the_rules_of_thumb() -> None:
    random = np.random.default_rng(1)
    submit = np.sort(random.uniform(0, 1e4, 60))
    log = log_of([("ada", "a", float(at), float(at + 60), float(random.uniform(50, 900))) for at in submit])
    said = play(log, CHOSEN, families_of(log), cap_mb=8000.0)["last_10_max"].first_mb
    rule = rule_allocations(log)["1.2 x max of last 10"]
    assert said[10:] * 1.2 == pytest.approx(rule[10:])
