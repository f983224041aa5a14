"""Every trap of a log's figures has a rule, and every rule a job here that it decides."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.labels import RULES, TARGETS, VALUE_COLUMNS, believable_request_mb, label_jobs
from crowdrun.data.states import STATES

NAN = float("nan")
DONE: dict[str, Any] = {
    "job_id": "1",
    "state": "COMPLETED",
    "submit_time": 1000.0,
    "start_time": 1100.0,
    "end_time": 1200.0,
    "req_nodes": 1.0,
    "req_mem_mb": 4096.0,
    "peak_mem_mb": 300.0,
    "alloc_gpus": 2.0,
    "peak_gpu_mem_mb": 1000.0,
}

#: Name, what differs from DONE, target, label, rule, value.
CASES: tuple[tuple[str, dict[str, Any], str, str, str, float], ...] = (
    ("a finished job", {}, "mem", "measured", "measured", 300.0),
    ("a finished job", {}, "run_time", "measured", "measured", 100.0),
    ("a finished job", {}, "gpus", "measured", "measured", 2.0),
    ("a finished job", {}, "gpu_mem", "measured", "measured", 1000.0),
    ("a finished job", {}, "wait", "measured", "measured", 100.0),
    ("a job that runs has waited", {"state": "RUNNING", "end_time": NAN}, "wait", "measured", "measured", 100.0),
    ("a job that waits", {"state": "PENDING", "start_time": NAN, "end_time": NAN}, "wait", "unknown", "no start", NAN),
    (
        "a job that gave up would have waited longer",
        {"state": "CANCELLED", "start_time": NAN, "end_time": 1400.0},
        "wait",
        "at_least",
        "gave up waiting",
        400.0,
    ),
    ("a job that ran, who knows since when", {"start_time": NAN}, "wait", "unknown", "no start", NAN),
    ("a job that started before it came", {"start_time": 900.0}, "wait", "unknown", "times out of order", NAN),
    ("a failed job did what it would do again", {"state": "FAILED"}, "mem", "measured", "measured", 300.0),
    ("no peak is not a peak of 0", {"peak_mem_mb": NAN}, "mem", "unknown", "no peak", NAN),
    ("a peak of 0", {"peak_mem_mb": 0.0}, "mem", "unknown", "peak of 0", NAN),
    ("a few KB of a job of seconds", {"end_time": 1109.0, "peak_mem_mb": 0.004}, "mem", "unknown", "too short", NAN),
    ("ten seconds are enough", {"end_time": 1110.0}, "mem", "measured", "measured", 300.0),
    ("a short run is short", {"end_time": 1103.0}, "run_time", "measured", "measured", 3.0),
    ("a run of no time", {"end_time": 1100.0}, "run_time", "unknown", "no run time", NAN),
    (
        "a cgroup kill with the peak below the request",
        {"state": "OUT_OF_MEMORY", "req_mem_mb": 200.0, "peak_mem_mb": 157.0},
        "mem",
        "at_least",
        "out of memory",
        200.0,
    ),
    (
        "a sampling kill with the peak above the request",
        {"state": "OUT_OF_MEMORY", "req_mem_mb": 200.0, "peak_mem_mb": 369.0},
        "mem",
        "at_least",
        "out of memory",
        369.0,
    ),
    (
        "killed too early for a sample, but at the request",
        {"state": "OUT_OF_MEMORY", "req_mem_mb": 200.0, "peak_mem_mb": 0.0, "end_time": 1101.0},
        "mem",
        "at_least",
        "out of memory",
        200.0,
    ),
    (
        "killed on one of two nodes",
        {"state": "OUT_OF_MEMORY", "req_nodes": 2.0, "req_mem_mb": 400.0, "peak_mem_mb": 150.0},
        "mem",
        "at_least",
        "out of memory",
        150.0,
    ),
    (
        "killed, but nothing is known",
        {"state": "OUT_OF_MEMORY", "req_mem_mb": NAN, "peak_mem_mb": NAN},
        "mem",
        "unknown",
        "no peak",
        NAN,
    ),
    ("killed for memory", {"state": "OUT_OF_MEMORY"}, "run_time", "at_least", "stopped before it was done", 100.0),
    ("out of time", {"state": "TIMEOUT"}, "run_time", "at_least", "stopped before it was done", 100.0),
    ("out of time", {"state": "TIMEOUT"}, "mem", "measured", "measured", 300.0),
    ("cancelled", {"state": "CANCELLED"}, "run_time", "at_least", "stopped before it was done", 100.0),
    (
        "an earlier run of a requeued job",
        {"state": "REQUEUED"},
        "run_time",
        "at_least",
        "stopped before it was done",
        100.0,
    ),
    ("the page cache fills the cgroup", {"peak_mem_mb": 4090.0}, "mem", "measured", "at the limit", 4090.0),
    ("above the limit", {"peak_mem_mb": 5000.0}, "mem", "measured", "measured", 5000.0),
    (
        "cancelled while it waited",
        {"state": "CANCELLED", "start_time": NAN},
        "mem",
        "unknown",
        "never started",
        NAN,
    ),
    ("it ended before it started", {"end_time": 1050.0}, "run_time", "unknown", "times out of order", NAN),
    ("it started before it was submitted", {"submit_time": 1150.0}, "mem", "unknown", "times out of order", NAN),
    ("running", {"state": "RUNNING", "end_time": NAN}, "mem", "unknown", "not ended", NAN),
    ("an end that is not known", {"end_time": NAN}, "run_time", "unknown", "not ended", NAN),
    ("no GPU figure", {"peak_gpu_mem_mb": 0.0}, "gpu_mem", "unknown", "no GPU peak", NAN),
    ("no GPU count", {"alloc_gpus": NAN}, "gpus", "unknown", "no GPU count", NAN),
    ("no GPU is a count", {"alloc_gpus": 0.0}, "gpus", "measured", "measured", 0.0),
)


@pytest.mark.parametrize(("name", "change", "target", "label", "rule", "value"), CASES)
def test_the_rule_decides(name: str, change: dict[str, Any], target: str, label: str, rule: str, value: float) -> None:
    labels = label_jobs(pd.DataFrame([DONE | change])).iloc[0]
    assert (labels[f"{target}_label"], labels[f"{target}_rule"]) == (label, rule), name
    assert labels[dict(VALUE_COLUMNS.items())[target]] == pytest.approx(value, nan_ok=True)


def test_every_rule_has_a_case_and_every_target_an_answer() -> None:
    tested = {rule for _, _, _, _, rule, _ in CASES} | {"repeated", "ran before"}
    assert {rule.name for rule in RULES} == tested
    assert {target for _, _, target, _, _, _ in CASES} == set(TARGETS)


def test_of_a_run_that_comes_twice_the_row_that_tells_most_counts() -> None:
    poor = DONE | {"peak_mem_mb": NAN}
    labels = label_jobs(pd.DataFrame([poor, DONE, DONE, DONE | {"start_time": 1110.0}], index=[5, 6, 7, 8]))
    assert labels["mem_rule"].to_dict() == {5: "repeated", 6: "measured", 7: "repeated", 8: "measured"}


def test_a_later_run_of_a_requeued_job_did_not_wait_since_its_submission() -> None:
    first = DONE | {"state": "REQUEUED"}
    labels = label_jobs(pd.DataFrame([DONE | {"start_time": 1150.0}, first, DONE | {"job_id": "2"}]))
    assert labels["wait_rule"].tolist() == ["ran before", "measured", "measured"]
    assert labels["mem_label"].tolist() == ["measured"] * 3


def test_a_request_that_nobody_means_is_no_request() -> None:
    jobs = pd.DataFrame({"req_mem_mb": [4096.0, 0.0, 2147486648.0, NAN]})
    np.testing.assert_array_equal(believable_request_mb(jobs), [4096.0, NAN, NAN, NAN])
    absurd = DONE | {"state": "OUT_OF_MEMORY", "req_mem_mb": 2147486648.0}
    assert label_jobs(pd.DataFrame([absurd]))["mem_mb"].tolist() == [300.0]


def test_every_state_gets_a_label_for_every_target() -> None:
    jobs = pd.DataFrame([DONE | {"job_id": state, "state": state} for state in [*STATES, None]])
    labels = label_jobs(jobs)
    for target in TARGETS:
        assert set(labels[f"{target}_label"]) <= {"measured", "at_least", "unknown"}
        known = labels[f"{target}_label"] != "unknown"
        assert (labels[VALUE_COLUMNS[target]].notna() == known).all()


def test_columns_that_a_frame_lacks_are_unknown() -> None:
    few = pd.DataFrame([{name: DONE[name] for name in ("job_id", "submit_time", "start_time", "end_time")}])
    labels = label_jobs(few).iloc[0]
    assert (labels["mem_rule"], labels["run_time_rule"], labels["gpus_rule"]) == ("no peak", "measured", "no GPU count")
