"""The order in which a live service would have met a log."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.replay import ends_before, events

INFINITY = math.inf

LOGS = st.lists(st.tuples(st.integers(0, 30), st.one_of(st.integers(-5, 60), st.just(INFINITY))), max_size=40).map(
    lambda pairs: sorted(pairs, key=lambda pair: pair[0])
)


def test_an_empty_log_has_no_events() -> None:
    assert list(events([], [])) == []


def test_a_job_that_ends_at_the_second_of_a_submission_is_known_to_it() -> None:
    assert list(events([0.0, 5.0], [5.0, 9.0])) == [("submit", 0), ("end", 0), ("submit", 1), ("end", 1)]


def test_a_job_without_an_end_only_submits() -> None:
    assert list(events([0.0, 1.0], [INFINITY, INFINITY])) == [("submit", 0), ("submit", 1)]


def test_a_job_that_ended_before_it_was_submitted_ends_after() -> None:
    assert list(events([7.0, 8.0], [3.0, 9.0])) == [("submit", 0), ("end", 0), ("submit", 1), ("end", 1)]


def test_ends_come_in_their_own_order() -> None:
    ends = [row for what, row in events([0.0, 1.0, 2.0, 50.0], [40.0, 10.0, 20.0, 60.0]) if what == "end"]
    assert ends == [1, 2, 0, 3]


def test_jobs_that_were_submitted_at_once_do_not_know_each_other() -> None:
    assert list(events([4.0, 4.0], [5.0, 5.0]))[:2] == [("submit", 0), ("submit", 1)]


@given(LOGS)
def test_every_job_submits_once_and_ends_once_afterwards(log: list[tuple[int, float]]) -> None:
    submits, ends = [float(pair[0]) for pair in log], [float(pair[1]) for pair in log]
    met = list(events(submits, ends))
    assert [row for what, row in met if what == "submit"] == list(range(len(log)))
    assert sorted(row for what, row in met if what == "end") == [row for row, end in enumerate(ends) if end < INFINITY]
    place = {event: index for index, event in enumerate(met)}
    for row, end in enumerate(ends):
        if end < INFINITY:
            assert place["submit", row] < place["end", row]


@given(LOGS)
def test_a_submission_knows_exactly_the_jobs_that_had_ended(log: list[tuple[int, float]]) -> None:
    submits, ends = [float(pair[0]) for pair in log], [float(pair[1]) for pair in log]
    known: set[int] = set()
    for what, row in events(submits, ends):
        if what == "end":
            known.add(row)
        else:
            assert known == {earlier for earlier in range(row) if max(ends[earlier], submits[earlier]) <= submits[row]}


TIMES = st.one_of(st.just(math.nan), st.integers(0, 6).map(float))
RUNS = st.one_of(st.just(math.inf), st.integers(-3, 9).map(float))


@given(st.lists(st.tuples(TIMES, RUNS), max_size=30))
def test_the_ends_before_each_submission_are_those_of_the_events(jobs: list[tuple[float, float]]) -> None:
    jobs = sorted(jobs, key=lambda job: (math.isnan(job[0]), job[0]))
    submit = np.array([time for time, _ in jobs], dtype=np.float64)
    end = np.array([(0.0 if math.isnan(time) else time) + run for time, run in jobs], dtype=np.float64)
    order, before = ends_before(submit, end)
    ended: list[int] = []
    seen: dict[int, int] = {}
    for what, row in events(submit.tolist(), end.tolist()):
        if what == "end":
            ended.append(row)
        else:
            seen[row] = len(ended)
    assert order.tolist() == ended
    assert before.tolist() == [seen[row] for row in range(len(jobs))]
