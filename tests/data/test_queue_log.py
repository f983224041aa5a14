"""The queue that each job of a log met: never its own future, and what the log's times say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.queue_log import queue_figures
from crowdrun.data.queue_state import QUEUE_FIGURES, Queue, QueuedJob

NAN = float("nan")


def log_of(*rows: tuple[float, float, float, str]) -> pd.DataFrame:
    jobs = pd.DataFrame(rows, columns=["submit_time", "start_time", "end_time", "state"])
    return jobs.assign(user="ada", partition="gpu", req_cpus=2.0, timelimit_s=100.0)


def seen(jobs: pd.DataFrame, *names: str) -> list[list[float]]:
    frame = pd.DataFrame(queue_figures(jobs), columns=QUEUE_FIGURES)
    return frame[[f"{name} (all)" for name in names]].to_numpy().tolist()


def test_a_job_waits_runs_and_is_gone() -> None:
    jobs = log_of(
        (0, 10, 20, "COMPLETED"), (5, 20, 30, "FAILED"), (10, 25, 30, "COMPLETED"), (21, 40, 50, "TIMEOUT"),
        (60, 61, 62, "COMPLETED"),
    )  # fmt: skip
    assert seen(jobs, "waiting_jobs", "running_jobs") == [[0, 0], [1, 0], [1, 1], [1, 1], [0, 0]]


def test_jobs_of_the_same_second_are_ahead_in_the_order_of_the_log() -> None:
    assert seen(log_of(*[(5, 9, 10, "COMPLETED")] * 3), "waiting_jobs") == [[0], [1], [2]]


def test_who_gave_up_leaves_the_queue_and_who_still_waits_stays() -> None:
    jobs = log_of(
        (0, NAN, 15, "CANCELLED"), (1, NAN, NAN, "PENDING"), (2, 3, NAN, "RUNNING"), (10, 90, 95, "COMPLETED"),
        (15, 90, 95, "COMPLETED"),
    )  # fmt: skip
    assert seen(jobs, "waiting_jobs", "running_jobs")[-2:] == [[2, 1], [2, 1]]


def test_a_job_of_which_the_log_tells_no_end_does_not_stand_in_the_queue_for_ever() -> None:
    jobs = log_of((0, 1, NAN, "COMPLETED"), (5, 9, 10, "COMPLETED"))
    assert seen(jobs, "running_jobs", "waiting_jobs")[-1] == [0, 0]


def test_a_job_without_a_submission_is_not_seen_and_sees_nothing() -> None:
    jobs = log_of((0, 1, 50, "COMPLETED"), (NAN, 1, 50, "COMPLETED"))
    assert np.isnan(queue_figures(jobs)[1]).all()


def test_a_frame_that_lacks_columns_or_jobs_is_taken() -> None:
    few = pd.DataFrame({"submit_time": [0.0, 1.0], "start_time": [5.0, 6.0], "end_time": [9.0, 9.0]})
    assert seen(few, "waiting_jobs", "waiting_cpus") == [[0, 0], [1, 1]]
    assert queue_figures(few[:0]).shape == (0, len(QUEUE_FIGURES))


_LOGS = st.lists(
    st.tuples(st.integers(0, 40), st.none() | st.integers(0, 30), st.none() | st.integers(0, 30), st.integers(0, 2)),
    max_size=15,
)


@given(_LOGS)
def test_the_log_tells_what_a_look_at_the_queue_would(log: list[tuple[int, int | None, int | None, int]]) -> None:
    """Each job sees what `Queue.of` shows of the jobs that waited or ran then."""
    rows = []
    for submit, wait, run, user in sorted(log, key=lambda row: row[0]):
        start = NAN if wait is None else float(submit + wait)
        end = NAN if run is None else (float(submit) if wait is None else start) + run
        state = "COMPLETED" if run is not None else "PENDING" if wait is None else "RUNNING"
        rows.append((float(submit), start, end, state, f"user{user}"))
    jobs = pd.DataFrame(rows, columns=["submit_time", "start_time", "end_time", "state", "user"])
    figures = queue_figures(jobs)
    for place, (now, *_, user) in enumerate(rows):
        there = Queue.of(
            QueuedJob(user=who, submit_time=submit, start_time=start if start <= now else None)
            for submit, start, end, _, who in rows[:place]
            if not end <= now
        )
        assert there.seen_by(user=user, partition=None, now=now) == pytest.approx(figures[place].tolist(), nan_ok=True)
