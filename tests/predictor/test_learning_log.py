"""From canonical columns to what the crowd learns from."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from crowdrun.data.columns import SCHEMA
from crowdrun.predictor.learning_log import ABOVE_BOUND_LOG2, LearningLog, in_end_order, worth_learning
from crowdrun.predictor.target import TARGETS, TARGETS_BY_NAME

MakeJobs = Callable[..., pd.DataFrame]
MEMORY, RUN_TIME, GPUS, GPU_MEMORY, WAIT = (
    TARGETS_BY_NAME[name] for name in ("mem_mb", "run_time_s", "gpus", "gpu_mem_mb", "wait_s")
)

DONE = {
    "job_id": "1", "user": "ada", "submit_time": 103.0, "start_time": 110.0, "end_time": 1134.0, "req_nodes": 1,
    "req_mem_mb": 8192.0, "req_gpus": 1, "timelimit_s": 4096.0, "state": "COMPLETED", "peak_mem_mb": 1024.0,
    "alloc_gpus": 1, "peak_gpu_mem_mb": 2048.0,
}  # fmt: skip


def log_of(*changes: dict[str, object]) -> LearningLog:
    rows = [DONE | {"job_id": str(place)} | change for place, change in enumerate(changes)]
    return LearningLog.of(pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas())


def test_a_job_that_was_done_teaches_every_target() -> None:
    log = log_of({})
    assert [log.values_log2(target)[0] for target in TARGETS] == [10.0, 10.0, 1.0, 11.0, 3.0]
    assert all(log.measured(target)[0] for target in TARGETS)


def test_an_out_of_memory_death_teaches_half_a_doubling_above_its_bound() -> None:
    log = log_of({"state": "OUT_OF_MEMORY", "peak_mem_mb": 7900.0})
    assert log.values_log2(MEMORY)[0] == 13.0 + ABOVE_BOUND_LOG2
    assert not log.measured(MEMORY)[0]


def test_a_job_that_ran_into_its_limit_teaches_half_a_doubling_above_it() -> None:
    log = log_of({"state": "TIMEOUT", "end_time": 110.0 + 4096})
    assert log.values_log2(RUN_TIME)[0] == 12.0 + ABOVE_BOUND_LOG2
    assert not log.measured(RUN_TIME)[0]
    assert log.measured(MEMORY)[0]


@pytest.mark.parametrize("change", [{"peak_mem_mb": 0.0}, {"peak_mem_mb": None}, {"end_time": 112.0}])
def test_a_peak_that_cannot_be_believed_teaches_nothing(change: dict[str, object]) -> None:
    log = log_of(change)
    assert np.isnan(log.values_log2(MEMORY)[0])
    assert not log.measured(MEMORY)[0]


def test_a_running_job_teaches_nothing_but_its_wait_and_never_ends() -> None:
    log = log_of({"state": "RUNNING", "end_time": None})
    taught = [target for target in TARGETS if not np.isnan(log.values_log2(target)[0])]
    assert taught == [WAIT]
    assert log.end_time.tolist() == [np.inf]


def test_a_wait_becomes_known_when_the_job_starts_or_gives_up() -> None:
    gave_up = {"state": "CANCELLED", "start_time": None, "end_time": 230.0}
    log = log_of({}, gave_up, {"state": "PENDING", "start_time": None, "end_time": None})
    assert log.known_time(WAIT).tolist() == [110.0, 230.0, np.inf]
    assert log.known_time(MEMORY).tolist() == [1134.0, 230.0, np.inf]
    assert log.values_log2(WAIT)[:2].tolist() == [3.0, 7.0 + ABOVE_BOUND_LOG2]
    assert log.measured(WAIT).tolist() == [True, False, False]


def test_the_request_bounds_each_target_that_has_one() -> None:
    log = log_of({})
    bounds = [log.bounds_log2(target)[0] for target in (MEMORY, RUN_TIME, GPUS)]
    assert bounds == [13.0, 12.0, 1.0]
    assert np.isnan(log.bounds_log2(GPU_MEMORY)[0])


@pytest.mark.parametrize("asked", [None, 0.0, 2147486648.0])
def test_a_memory_request_that_was_not_meant_bounds_nothing(asked: float | None) -> None:
    assert np.isnan(log_of({"req_mem_mb": asked}).bounds_log2(MEMORY)[0])


def test_no_gpus_asked_for_is_a_bound_of_none() -> None:
    assert log_of({"req_gpus": 0}).bounds_log2(GPUS).tolist() == [0.0]
    assert np.isnan(log_of({"req_gpus": None}).bounds_log2(GPUS)[0])


def test_jobs_are_put_in_the_order_of_their_submission() -> None:
    log = log_of({"submit_time": 30.0}, {"submit_time": 10.0}, {"submit_time": 30.0}, {"submit_time": 20.0})
    assert log.jobs["job_id"].tolist() == ["1", "3", "0", "2"]
    assert [request.job_id for request in log.requests] == ["1", "3", "0", "2"]
    assert log.submit_time.tolist() == [10.0, 20.0, 30.0, 30.0]


def test_rows_come_in_the_order_in_which_the_jobs_ended() -> None:
    log = log_of({"end_time": 900.0}, {"end_time": 500.0}, {"end_time": None}, {"end_time": 700.0})
    assert in_end_order(log, [0, 1, 2, 3]).tolist() == [1, 3, 0, 2]
    assert in_end_order(log, np.array([0, 3])).tolist() == [3, 0]


def test_waits_that_are_the_schedulers_cycle_are_not_worth_learning() -> None:
    quick, slow = ({"start_time": 103.0 + wait} for wait in (59.0, 61.0))
    assert worth_learning(log_of(*[slow] * 30), WAIT, fewest=30) is None
    reason = worth_learning(log_of(*[quick] * 30, *[slow] * 29), WAIT, fewest=30)
    assert reason == "fewer than 30 jobs of the log waited longer than a minute"


def test_a_log_with_the_fewest_columns_is_taken() -> None:
    log = LearningLog.of(pd.DataFrame({"job_id": ["1"], "submit_time": [0.0], "start_time": [1.0], "end_time": [65.0]}))
    assert np.isnan(log.values_log2(MEMORY)[0])
    assert log.values_log2(RUN_TIME).tolist() == [6.0]
    assert np.isnan(log.bounds_log2(MEMORY)[0])


def test_every_value_is_finite_or_unknown(make_jobs: MakeJobs) -> None:
    log = LearningLog.of(make_jobs(300, seed=2))
    for target in TARGETS:
        values = log.values_log2(target)
        assert len(values) == len(log) == 300
        assert (np.isfinite(values) | np.isnan(values)).all()
        assert not np.isnan(values[log.measured(target)]).any()


def test_too_few_jobs_are_not_worth_learning_from() -> None:
    reason = worth_learning(log_of({}, {}, {"peak_mem_mb": None}), MEMORY, fewest=3)
    assert reason is not None
    assert "only 2 jobs" in reason
    assert worth_learning(log_of({}, {}), MEMORY, fewest=2) is None


def test_a_count_that_never_varies_is_not_worth_learning() -> None:
    assert worth_learning(log_of({}, {}), GPUS, fewest=2) == "every job of the log has 1"
    assert worth_learning(log_of({}, {"alloc_gpus": 2}), GPUS, fewest=2) is None
