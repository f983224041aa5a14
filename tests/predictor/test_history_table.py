"""The history of a whole log at once, held against the live object that lives through it."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdrun.data.columns import SCHEMA
from crowdrun.data.job import JobRequest
from crowdrun.data.replay import events
from crowdrun.predictor.classes import most_frequent, most_frequent_of_rows
from crowdrun.predictor.history import NEWEST_WEIGHT, WINDOW, History, keys_of
from crowdrun.predictor.history_table import HistoryTable
from crowdrun.predictor.items import Items
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.replay import look
from crowdrun.predictor.target import TARGETS_BY_NAME

MEMORY = TARGETS_BY_NAME["mem_mb"]
#: Few values, so that keys, times and labels coincide; some unknown.
JOBS = st.fixed_dictionaries(
    {
        "user": st.sampled_from([None, "", "ada", "bob"]),
        "group": st.sampled_from([None, "g"]),
        "account": st.sampled_from([None, "a"]),
        "partition": st.sampled_from([None, "p", "q"]),
        "job_name": st.sampled_from([None, "", "train-1", "train-٢", "eval"]),
        "command": st.sampled_from([None, "python a.py --lr 2", "python a.py --lr 33"]),
        "submit_time": st.one_of(st.none(), st.integers(0, 12).map(float)),
        "runs_s": st.one_of(st.none(), st.integers(-3, 40).map(float)),
        "req_mem_mb": st.sampled_from([None, 0.0, 2048.0]),
        "req_cpus": st.sampled_from([None, 2]),
        "peak_mem_mb": st.one_of(st.none(), st.integers(1, 4000).map(float)),
    }
)


def log_of(rows: list[dict[str, Any]]) -> LearningLog:
    """A log of these jobs; one that runs for less than nothing ends before it was submitted, as broken records do."""
    table = []
    for number, row in enumerate(rows):
        submit, runs = row["submit_time"], row["runs_s"]
        end = None if runs is None else (submit or 0.0) + runs
        table.append({k: v for k, v in row.items() if k != "runs_s"} | {"job_id": str(number), "end_time": end})
    return LearningLog.of(pa.Table.from_pylist(table, schema=SCHEMA).to_pandas())


def lived(log: LearningLog, value: np.ndarray) -> tuple[np.ndarray, list[int], History]:
    """Statistics and mode of each job by the live object, and the object at the end."""
    history = History()
    said, modes = [], []
    for what, row in events(log.submit_time.tolist(), log.end_time.tolist()):
        keys = keys_of(log.requests[row])
        if what == "submit":
            said.append(history.statistics(keys, float(log.submit_time[row])))
            closest = history.closest(keys)
            modes.append(most_frequent(closest[1].recent) if closest else -1)
        elif not np.isnan(value[row]):
            history.observe(keys, float(value[row]), float(log.end_time[row]))
    return np.array(said), modes, history


def assert_same_history(one: History, other: History) -> None:
    assert one.trails.keys() == other.trails.keys()
    for key, trail in one.trails.items():
        same = other.trails[key]
        assert (trail.recent, trail.ordered) == (same.recent, same.ordered)
        assert (trail.count, trail.newest_time) == (same.count, same.newest_time)
        np.testing.assert_allclose(trail.mean, same.mean, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.lists(JOBS, min_size=1, max_size=60), st.integers(0, 2**31))
def test_every_figure_is_that_of_the_live_history(rows: list[dict[str, Any]], seed: int) -> None:
    log = log_of(rows)
    # Any value, known or not: which labels can be believed is not what this is about.
    value = np.array([np.nan if row["peak_mem_mb"] is None else np.log2(row["peak_mem_mb"]) for row in rows])
    value = np.random.default_rng(seed).permutation(value)
    said, modes, history = lived(log, value)
    table, filled = HistoryTable(log, value), History()
    np.testing.assert_allclose(table.statistics(slice(None), filled), said, atol=1e-6)
    assert_same_history(filled, history)
    assert most_frequent_of_rows(table.closest(slice(None))).tolist() == modes


def test_beyond_the_window_the_oldest_values_are_forgotten() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"user": f"u{rng.integers(3)}", "job_name": "x", "submit_time": float(i), "runs_s": float(rng.integers(90))}
        for i in range(6 * WINDOW)
    ]
    log = log_of(rows)
    value = rng.integers(5, 12, len(rows)).astype(float)
    said, _, history = lived(log, value)
    filled = History()
    np.testing.assert_allclose(HistoryTable(log, value).statistics(slice(None), filled), said, atol=1e-6)
    assert_same_history(filled, history)
    assert max(trail.count for trail in filled.trails.values()) > 2 * WINDOW
    assert NEWEST_WEIGHT < 1


def test_part_of_a_log_is_told_as_in_the_whole(make_jobs: Any) -> None:
    log = LearningLog.of(make_jobs(300, seed=3))
    whole, part = look(log, MEMORY, History(), Items()), look(log, MEMORY, History(), Items(), slice(180, 300))
    np.testing.assert_array_equal(part.features.numeric, whole.features.numeric[180:])
    np.testing.assert_array_equal(part.features.categories, whole.features.categories[180:])
    np.testing.assert_array_equal(part.class_mode, whole.class_mode[180:])


def test_a_log_of_which_nothing_is_known_has_no_history() -> None:
    log = LearningLog.of(pd.DataFrame({"job_id": ["1", "2"], "submit_time": [0.0, 9.0], "start_time": np.nan}))
    history = History()
    said = HistoryTable(log, np.full(2, np.nan)).statistics(slice(None), history)
    assert not history.trails
    assert said.tolist()[0][0] == 0.0
    assert history.statistics(keys_of(JobRequest()), 0.0)[0] == 0.0
