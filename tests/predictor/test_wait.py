"""How long it will wait: told from the queue, from past waits alone without it, and learnt when jobs start."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.job import JobRequest
from crowdrun.data.queue_state import QUEUE_FIGURES, Queue, QueuedJob
from crowdrun.predictor.crowd import QUEUE_UNSEEN, Crowd
from crowdrun.predictor.features import NUMERIC_NAMES, QUEUE_NAMES, WITHOUT_QUEUE, assemble, some_without_queue
from crowdrun.predictor.history import RELATIONS, History, keys_of
from crowdrun.predictor.items import Items
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.replay import look
from crowdrun.predictor.target import TARGETS_BY_NAME

WAIT = TARGETS_BY_NAME["wait_s"]
NOW = 1.7e9 + 1e6
REQUEST = JobRequest(user="user1", partition="batch", job_name="train", req_cpus=4, timelimit_s=7200.0, submit_time=NOW)


def queue_of(waiting: int) -> Queue:
    """Four jobs run; so many wait, half a minute apart."""
    fields = {"partition": "batch", "req_cpus": 4.0, "timelimit_s": 7200.0}
    runs = [
        QueuedJob(user=f"user{k % 3}", submit_time=NOW - 900 - k, start_time=NOW - 800 + 200 * k, **fields)  # type: ignore[arg-type]
        for k in range(4)
    ]
    waits = [
        QueuedJob(user=f"user{k % 3}", submit_time=NOW - 20 * (waiting - k), **fields)  # type: ignore[arg-type]
        for k in range(waiting)
    ]
    return Queue.of(runs + waits)


def test_a_long_queue_is_told_as_a_longer_wait_than_an_empty_one(waiting_crowd: Crowd) -> None:
    empty, long = waiting_crowd.recommend_many([REQUEST] * 2, queues=[Queue(), queue_of(20)])
    short_wait, long_wait = (answer.predictions["wait_s"] for answer in (empty, long))
    assert short_wait.lean < 60
    assert long_wait.lean > 600
    assert short_wait.safe < long_wait.safe


def test_a_wait_is_told_with_the_confidence_that_is_asked_for(waiting_crowd: Crowd) -> None:
    told = [waiting_crowd.recommend_many([REQUEST], risk, [queue_of(5)])[0] for risk in (0.5, 0.1, 0.05, 0.01)]
    waits = [one.predictions["wait_s"] for one in told]
    assert [wait.safe for wait in waits] == sorted(wait.safe for wait in waits)
    for wait, level in zip(waits[1:], (0.9, 0.95, 0.99), strict=True):
        assert wait.safe == np.ceil(wait.quantiles[level])
        assert wait.ladder == ()
        assert wait.safe_risk <= 1 - level + 1e-9


def test_without_a_look_at_the_queue_it_is_told_from_past_waits_and_says_so(waiting_crowd: Crowd) -> None:
    blind, seen = waiting_crowd.recommend_many([REQUEST] * 2, queues=[None, queue_of(5)])
    assert blind.predictions["wait_s"].safe == waiting_crowd.recommend(REQUEST).predictions["wait_s"].safe
    assert QUEUE_UNSEEN in blind.reasons
    assert QUEUE_UNSEEN not in seen.reasons
    wait = blind.predictions["wait_s"]
    assert 0 <= wait.lean <= wait.safe < 86400


def test_who_was_never_seen_still_stands_in_the_same_queue(waiting_crowd: Crowd) -> None:
    stranger = JobRequest(user="kim", partition="gpu", submit_time=NOW)
    answer = waiting_crowd.recommend_many([stranger], queues=[queue_of(20)])[0]
    assert answer.predictions["wait_s"].evidence is not None
    assert "run_time_s" in answer.abstained
    assert any(reason.startswith("wait: 40 started jobs waited ") for reason in answer.reasons)


def test_nothing_is_told_beyond_the_longest_wait_and_none_is_below_0(
    waiting_crowd: Crowd, queued_log: pd.DataFrame
) -> None:
    longest = float((queued_log["start_time"] - queued_log["submit_time"]).max())
    answers = waiting_crowd.recommend_many([REQUEST] * 2, 0.001, [queue_of(5000), Queue()])
    for answer in answers:
        wait = answer.predictions["wait_s"]
        assert 0 <= min(wait.quantiles.values()) <= max(wait.quantiles.values()) <= longest + 1


def test_a_loaded_crowd_tells_the_same_wait(waiting_crowd: Crowd, tmp_path: Path) -> None:
    waiting_crowd.save(tmp_path)
    loaded = Crowd.load(tmp_path)
    queues = [None, queue_of(3), queue_of(5000)]
    told, again = (
        [answer.predictions["wait_s"].quantiles for answer in crowd.recommend_many([REQUEST] * 3, 0.05, queues)]
        for crowd in (waiting_crowd, loaded)
    )
    for one, other in zip(told, again, strict=True):
        assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-3, abs=1e-2)


def test_a_start_that_is_heard_of_changes_the_history_and_no_promise(
    queued_log: pd.DataFrame, waiting_crowd: Crowd, tmp_path: Path
) -> None:
    waiting_crowd.save(tmp_path)
    crowd = Crowd.load(tmp_path)
    model = crowd.models["wait_s"]
    scores, loss = list(model.calibration.scores), model.weights.loss.copy()
    job = queued_log.iloc[-1].to_dict() | {"job_id": "x", "user": "new", "start_time": NOW + 99, "end_time": NOW + 200}
    crowd.observe(job | {"submit_time": NOW})
    own_key = keys_of(JobRequest(user="new"))[RELATIONS.index("same user")]
    trail = model.history.trail(own_key)
    assert trail is not None
    assert trail.last == np.log2(100.0)
    assert model.history.newest_time == NOW + 99
    assert model.calibration.scores == scores
    np.testing.assert_array_equal(model.weights.loss, loss)


def test_a_log_without_waits_does_not_teach_them(job_log: pd.DataFrame, crowd: Crowd) -> None:
    assert "wait_s" not in crowd.models
    assert crowd.abstained["wait_s"] == "fewer than 30 jobs of the log waited longer than a minute"
    answer = crowd.recommend_many([JobRequest(user="user1", job_name="traina-3")], queues=[queue_of(3)])[0]
    assert "wait_s" in answer.abstained


def test_queue_columns_are_for_waits_alone_and_stand_behind_the_others(queued_log: pd.DataFrame) -> None:
    log = LearningLog.of(queued_log)
    widths = [
        look(log, target, History(), Items()).features.numeric.shape[1]
        for target in (WAIT, TARGETS_BY_NAME["run_time_s"])
    ]
    assert widths == [len(NUMERIC_NAMES) + len(QUEUE_NAMES), len(NUMERIC_NAMES)]


def test_figures_are_counted_in_doublings_and_waits_relative_to_the_anchor() -> None:
    figures = np.full((1, len(QUEUE_FIGURES)), np.nan)
    for name, value in (("waiting_jobs (all)", 7.0), ("waited_longest_s (all)", 1023.0)):
        figures[0, QUEUE_FIGURES.index(name)] = value
    features = assemble([[np.nan] * len(NUMERIC_NAMES)], [[0] * 6], WAIT, figures)
    told = dict(zip(QUEUE_NAMES, features.numeric[0, len(NUMERIC_NAMES) :].tolist(), strict=True))
    assert told["queue: waiting_jobs (all)"] == 3.0
    assert told["queue: waited_longest_s (all)"] == 10.0 - WAIT.first_anchor_log2
    assert np.isnan(told["queue: waiting_jobs (user)"])


def test_some_jobs_are_learnt_from_as_if_nobody_had_looked(queued_log: pd.DataFrame) -> None:
    features = look(LearningLog.of(queued_log), WAIT, History(), Items()).features
    fewer = some_without_queue(features, seed=3)
    blank = np.isnan(fewer.numeric[:, len(NUMERIC_NAMES) :]).all(axis=1)
    assert 0.5 * WITHOUT_QUEUE < blank.mean() < 1.5 * WITHOUT_QUEUE
    np.testing.assert_array_equal(fewer.numeric[~blank], features.numeric[~blank])
    np.testing.assert_array_equal(fewer.numeric[:, : len(NUMERIC_NAMES)], features.numeric[:, : len(NUMERIC_NAMES)])
