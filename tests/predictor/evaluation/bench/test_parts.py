"""The parts of the bench on cases that were worked out by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crowdrun.predictor.baselines.families import Sized
from crowdrun.predictor.evaluation.bench import retries
from crowdrun.predictor.evaluation.bench.gpu_count import last_time
from crowdrun.predictor.evaluation.bench.groups import WINDOW, coverage_of_groups, rolling_share
from crowdrun.predictor.evaluation.bench.hindsight import constant_of_each_family
from crowdrun.predictor.evaluation.bench.host_memory import judged_jobs
from crowdrun.predictor.evaluation.bench.page import sums
from crowdrun.predictor.evaluation.bench.traces import one_after_the_other
from crowdrun.predictor.quantiles import LEVELS


def jobs_of(rows: list[tuple[str, float, float, float]], **columns: Any) -> pd.DataFrame:
    """Rows of user, submit, end, peak."""
    jobs = pd.DataFrame(rows, columns=["user", "submit_time", "end_time", "peak_mem_mb"])
    jobs = jobs.assign(
        job_id=[str(i) for i in range(len(jobs))], job_name="a", start_time=jobs["submit_time"], state="COMPLETED",
        req_mem_mb=8192.0, req_nodes=1.0,
    )  # fmt: skip
    return jobs.assign(**columns)


def all_judged(jobs: pd.DataFrame) -> dict[str, Any]:
    return {"judged": np.ones(len(jobs), dtype=np.bool_)}


def test_a_retry_at_the_maximum_sees_only_jobs_of_the_family_that_had_ended(make_trace: Any) -> None:
    jobs = jobs_of([("ada", 0, 100, 500.0), ("bob", 0, 100, 900.0), ("ada", 50, 400, 700.0), ("ada", 200, 300, 800.0)])
    trace = make_trace(jobs, **all_judged(jobs), retry_at_maximum=True)
    judged = judged_jobs(trace, trace.judged)
    retry = retries.usual(trace, judged)
    assert retry is not None
    everybody = np.arange(4)
    assert retry(everybody, np.full(4, 100.0), 1).tolist() == [0.0, 0.0, 0.0, 500.0]
    # 100 fails, then 500 (the largest), then 1000.
    assert judged.attempts(np.full(4, 100.0), retry).retries.tolist() == [3.0, 4.0, 3.0, 2.0]


def test_a_methods_own_attempts_are_judged(make_trace: Any) -> None:
    jobs = jobs_of([("ada", 0, 3600, 1024.0)])
    judged = judged_jobs(make_trace(jobs, **all_judged(jobs)), np.ones(1, dtype=np.bool_))
    sized = Sized(first_mb=np.array([512.0]), later_mb={0: [768.0, 1536.0]})
    tried = judged.attempts(sized.first_mb, retries.own(sized, judged))
    assert tried.waste_gbh[0] == pytest.approx(0.5 + 0.75 + 0.5)
    assert tried.retries[0] == 2.0


def test_the_published_gigabyte_has_a_billion_bytes(make_trace: Any) -> None:
    jobs = jobs_of([("ada", 0, 3600, 1024.0)])
    trace = make_trace(jobs, **all_judged(jobs), mb_per_gb=1e9 / 2**20)
    judged = judged_jobs(trace, trace.judged)
    assert judged.attempts(np.array([2048.0])).waste_gbh[0] == pytest.approx(2**30 / 1e9)


def test_the_best_constant_weighs_failures_against_room(make_trace: Any) -> None:
    jobs = jobs_of([("ada", 100.0 * i, 100.0 * i + 50, peak) for i, peak in enumerate([100.0] * 9 + [150.0])])
    trace = make_trace(jobs, **all_judged(jobs))
    judged = judged_jobs(trace, trace.judged)
    # 100 MB: one job holds 100 for nothing and 50 too much; 150 MB: nine jobs hold 50 too much.
    assert set(constant_of_each_family(trace, judged, None).allocation_mb) == {100.0}


def test_a_rolling_share_is_that_of_each_window() -> None:
    covered = np.ones((WINDOW + 2, 1), dtype=np.bool_)
    covered[:2] = False
    assert rolling_share(covered)[:, 0].tolist() == pytest.approx([1 - 2 / WINDOW, 1 - 1 / WINDOW, 1.0])


def test_groups_with_too_few_jobs_say_nothing_and_the_worst_window_is_found(make_trace: Any) -> None:
    jobs = jobs_of(
        [("ada" if i % 2 else f"u{i}", 100.0 * i, 100.0 * i + 50, 100.0) for i in range(4 * WINDOW)], partition="gpu"
    )
    trace = make_trace(jobs, **all_judged(jobs))
    rows = np.arange(len(jobs))
    # Promised 128 MB at each level; the last tenth of the jobs needs more.
    need = np.where(rows < 0.9 * len(rows), 6.0, 8.0)
    groups = coverage_of_groups(trace, rows, np.full((len(rows), len(LEVELS)), 7.0), need)
    assert {(one["kind"], one["group"]): one["jobs"] for one in groups} == {
        ("queue", "gpu"): 4 * WINDOW, ("user", "ada"): 2 * WINDOW, ("family", "ada / a"): 2 * WINDOW,
    }  # fmt: skip
    queue = next(one for one in groups if one["kind"] == "queue")
    assert queue["coverage"]["95"] == pytest.approx(0.9)
    assert queue["worst"]["95"] == pytest.approx(0.6)
    assert queue["deviation"] == pytest.approx(0.39)


def test_last_time_is_the_users_last_ended_job_and_varies_where_earlier_ones_differed(make_trace: Any) -> None:
    jobs = jobs_of([("ada", 0, 10, 1.0), ("ada", 20, 30, 1.0), ("ada", 25, 90, 1.0), ("ada", 40, 50, 1.0),
                    ("ada", 60, 70, 1.0), ("bob", 60, 70, 1.0)])  # fmt: skip
    last, varied = last_time(make_trace(jobs), np.array([1.0, 1.0, 4.0, 2.0, 1.0, 1.0]))
    np.testing.assert_array_equal(last, [np.nan, 1.0, 1.0, 1.0, 2.0, np.nan])
    assert varied.tolist() == [False, False, False, False, True, False]


def test_one_after_the_other_keeps_run_times_and_lets_each_end_before_the_next_comes() -> None:
    jobs = one_after_the_other(jobs_of([("ada", 5.5, 7.25, 1.0), ("ada", 5.5, 9.0, 1.0), ("ada", 5.5, 6.0, 1.0)]))
    assert (jobs["end_time"] - jobs["start_time"]).tolist() == [1.75, 3.5, 0.5]
    assert jobs["submit_time"].tolist()[1:] == jobs["end_time"].tolist()[:-1]


def test_sums_are_made_over_each_set_of_logs() -> None:
    def log(waste: float, fail: float, scored: int) -> dict[str, Any]:
        one = {"title": "the request", "kind": "published", "waste_gbh": waste, "fail": fail}
        return {"scored": scored, "methods": {"request": one}}

    found = sums({
        "iu-mason": log(1.0, 0.5, 10), "nextflow-mag": log(5.0, 0.0, 10), "nextflow-mag-published": log(2.0, 0.1, 30),
        "nextflow-eager-published": log(3.0, 0.3, 10),
    })  # fmt: skip
    assert [(one["logs"], one["jobs"], one["methods"][0]["waste_gbh"]) for one in found] == [(2, 40, 5.0)]
    assert found[0]["methods"][0]["fail"] == pytest.approx(0.15)
