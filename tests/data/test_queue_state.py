"""What a submission sees of the queue, on queues small enough to count by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.queue_state import QUEUE_FIGURES, RECENT_STARTS, Queue, QueuedJob

DAY = 1.7e9

#: Two run (one in the other partition, one without a limit), three wait, one of them ada's.
JOBS = [
    QueuedJob(user="ada", partition="gpu", submit_time=DAY, start_time=DAY + 100, req_nodes=2, req_cpus=16, req_gpus=4,
              timelimit_s=1000),
    QueuedJob(user="bob", partition="cpu", submit_time=DAY + 10, start_time=DAY + 20, req_cpus=8),
    QueuedJob(user="bob", partition="gpu", submit_time=DAY + 30, req_cpus=4, req_gpus=1, timelimit_s=600),
    QueuedJob(user="ada", partition="gpu", submit_time=DAY + 50, req_cpus=2, timelimit_s=60),
    QueuedJob(user="eve", partition="cpu", submit_time=DAY + 90),
]  # fmt: skip


def told(queue: Queue, *, user: str | None, partition: str | None, now: float) -> dict[str, float]:
    return dict(zip(QUEUE_FIGURES, queue.seen_by(user=user, partition=partition, now=now), strict=True))


def test_jobs_cpus_nodes_gpus_and_work_are_counted_for_all_the_partition_and_the_user() -> None:
    seen = told(Queue.of(JOBS), user="ada", partition="gpu", now=DAY + 200)
    expected = {
        "waiting_jobs": (3, 2, 1), "waiting_cpus": (7, 6, 2), "waiting_nodes": (3, 2, 1), "waiting_gpus": (1, 1, 0),
        "waiting_cpu_s": (2520, 2520, 120), "running_jobs": (2, 1, 1), "running_cpus": (24, 16, 16),
        "running_nodes": (3, 2, 2), "running_gpus": (4, 4, 4), "running_cpu_s_left": (14400, 14400, 14400),
        "since_start_s": (100, 100, 100), "waited_longest_s": (170, 170, 150), "waited_mean_s": (430 / 3, 160, 150),
        "waited_least_s": (110, 150, 150), "started_last_wait_s": (100, 100, 100),
        "started_median_wait_s": (55, 100, 100), "drain_s": (705, 1057.5, 907.5),
    }  # fmt: skip
    for name, figures in expected.items():
        scopes = [seen[f"{name} ({scope})"] for scope in ("all", "partition", "user")]
        assert scopes == pytest.approx(figures), name


def test_nobody_there_is_zero_and_not_knowing_where_is_unknown() -> None:
    seen = told(Queue.of(JOBS), user="kim", partition=None, now=DAY + 200)
    assert (seen["waiting_jobs (user)"], seen["running_cpu_s_left (user)"]) == (0.0, 0.0)
    assert math.isnan(seen["waited_longest_s (user)"])
    assert all(math.isnan(value) for name, value in seen.items() if name.endswith("(partition)"))
    assert told(Queue(), user="kim", partition="gpu", now=DAY)["waiting_jobs (all)"] == 0


def test_work_left_is_never_less_than_none() -> None:
    seen = told(Queue.of(JOBS[:1]), user="ada", partition="gpu", now=DAY + 5000)
    assert seen["running_cpu_s_left (all)"] == 0.0


def test_the_median_is_over_the_newest_starts_of_the_last_hour() -> None:
    waits = list(range(40))
    started = DAY + 1000.0
    jobs = [QueuedJob(submit_time=started + wait - wait, start_time=started + wait) for wait in waits]
    late = told(Queue.of(jobs), user=None, partition=None, now=started + 3600.0 + 30)
    assert late["started_median_wait_s (all)"] == 34.5
    soon = told(Queue.of(jobs), user=None, partition=None, now=started + 40)
    assert soon["started_median_wait_s (all)"] == 39 - (RECENT_STARTS - 1) / 2
    over = told(Queue.of(jobs), user=None, partition=None, now=started + 3600.0 + 40)
    assert math.isnan(over["started_median_wait_s (all)"])
    assert over["started_last_wait_s (all)"] == 39.0


def test_a_queue_that_has_emptied_keeps_no_rounding() -> None:
    queue = Queue()
    for key in range(100):
        queue.submit(key, QueuedJob(submit_time=DAY + key / 7, req_cpus=3, timelimit_s=0.1 * key))
        queue.start(key, DAY + key / 3 + 50)
    for key in range(100):
        queue.leave(key)
    queue.submit("last", QueuedJob(submit_time=DAY + 100.1, req_cpus=2, timelimit_s=0.3))
    seen = told(queue, user=None, partition=None, now=DAY + 101)
    assert (seen["running_cpus (all)"], seen["running_cpu_s_left (all)"], seen["waiting_cpu_s (all)"]) == (0, 0, 0.6)


_JOB = st.builds(
    QueuedJob,
    user=st.sampled_from(["ada", "bob", None]),
    partition=st.sampled_from(["gpu", "cpu", None]),
    submit_time=st.integers(0, 50).map(lambda s: DAY + s),
    start_time=st.none() | st.integers(50, 90).map(lambda s: DAY + s),
    req_cpus=st.integers(1, 9).map(float),
    timelimit_s=st.none() | st.integers(1, 500).map(float),
)


@given(st.lists(_JOB, max_size=12), st.data())
def test_who_came_and_left_leaves_no_trace(jobs: list[QueuedJob], data: st.DataObject) -> None:
    jobs = sorted(jobs, key=lambda job: job.submit_time)
    gone = data.draw(st.sets(st.sampled_from(range(len(jobs))))) if jobs else set()
    queue = Queue()
    for key, job in enumerate(jobs):
        queue.submit(key, job)
    for start, key in sorted((job.start_time, key) for key, job in enumerate(jobs) if job.start_time is not None):
        queue.start(key, start)
    for key in sorted(gone):
        queue.leave(key)
    left = Queue.of(job for key, job in enumerate(jobs) if key not in gone)
    for user in ("ada", None):
        asked = [each.seen_by(user=user, partition="gpu", now=DAY + 100) for each in (queue, left)]
        assert asked[0] == pytest.approx(asked[1], nan_ok=True)
