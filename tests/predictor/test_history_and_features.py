"""What is known at submit time, and nothing else: features, histories, and the replay that reads them."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.columns import COLUMNS
from crowdrun.data.job import JobRequest
from crowdrun.predictor.features import (
    CATEGORY_BUCKETS,
    CATEGORY_NAMES,
    HISTORY_NAMES,
    NUMERIC_NAMES,
    QUEUE_NAMES,
    Features,
    assemble,
    category_row,
    numeric_row,
    request_row,
)
from crowdrun.predictor.history import NEWEST_WEIGHT, RELATIONS, STATISTICS, WINDOW, History, Trail, keys_of, statistics
from crowdrun.predictor.items import Items
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.replay import look, replay
from crowdrun.predictor.target import TARGETS, TARGETS_BY_NAME, Target
from crowdrun.predictor.target_settings import TargetSettings

MakeJobs = Callable[..., pd.DataFrame]
MEMORY = TARGETS_BY_NAME["mem_mb"]
OUTCOMES = [column.name for column in COLUMNS if not column.at_submit and column.name not in ("start_time", "end_time")]


def features_seen(jobs: pd.DataFrame, target: Target) -> tuple[Features, np.ndarray]:
    seen = look(LearningLog.of(jobs), target, History(), Items())
    return seen.features, seen.class_mode


def with_other_outcomes(jobs: pd.DataFrame, cut: float, rng: np.random.Generator) -> pd.DataFrame:
    """The log with everything else that the jobs which had not ended by the cut might have done."""
    jobs = jobs.copy()
    unfinished = np.flatnonzero(~(jobs["end_time"] <= cut))
    mixed = rng.permutation(unfinished)
    for name in OUTCOMES:
        jobs.loc[unfinished, name] = jobs[name].to_numpy()[mixed]
    waiting = np.flatnonzero(~(jobs["start_time"] <= cut))
    jobs.loc[waiting, "start_time"] = cut + rng.exponential(1e3, len(waiting)) + 1e-3
    jobs.loc[unfinished, "peak_mem_mb"] = rng.lognormal(8, 2, len(unfinished))
    jobs.loc[unfinished, "state"] = rng.choice(["COMPLETED", "OUT_OF_MEMORY", "TIMEOUT"], len(unfinished))
    begun = np.maximum(jobs["start_time"].to_numpy()[unfinished], cut)
    jobs.loc[unfinished, "end_time"] = begun + rng.exponential(1e4, len(unfinished)) + 1e-3
    return jobs


def assert_same_rows(one: Features, other: Features, rows: int) -> None:
    np.testing.assert_array_equal(one.numeric[:rows], other.numeric[:rows])
    np.testing.assert_array_equal(one.categories[:rows], other.categories[:rows])
    np.testing.assert_array_equal(one.anchor[:rows], other.anchor[:rows])


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_feature_changes_when_the_future_is_cut_off(target: Target, make_jobs: MakeJobs) -> None:
    jobs = make_jobs(400, seed=5)
    whole, modes = features_seen(jobs, target)
    rng = np.random.default_rng(6)
    for cut in rng.choice(jobs["submit_time"].to_numpy(), 6, replace=False):
        past = int((jobs["submit_time"] <= cut).sum())
        for other in (jobs.iloc[:past], with_other_outcomes(jobs, cut, rng)):
            features, other_modes = features_seen(other, target)
            assert_same_rows(features, whole, past)
            np.testing.assert_array_equal(other_modes[:past], modes[:past])


def test_features_do_change_when_the_past_does(make_jobs: MakeJobs) -> None:
    jobs = make_jobs(400, seed=5)
    altered = jobs.assign(peak_mem_mb=jobs["peak_mem_mb"].where(jobs.index != 50, 3 * jobs["peak_mem_mb"]))
    whole, _ = features_seen(jobs, MEMORY)
    other, _ = features_seen(altered, MEMORY)
    changed = np.flatnonzero(~np.isclose(whole.numeric, other.numeric, equal_nan=True).all(axis=1))
    assert len(changed) > 0
    assert (jobs["submit_time"].to_numpy()[changed] >= jobs["end_time"][50]).all()


def test_no_prediction_changes_when_the_jobs_that_had_not_ended_do_otherwise(
    make_jobs: MakeJobs,
) -> None:
    fast = TargetSettings(members=("recent", "neighbours", "linear"))
    jobs = make_jobs(400, seed=7)
    cut = float(jobs["submit_time"][250])
    other = with_other_outcomes(jobs, cut, np.random.default_rng(8))
    told, otherwise = (replay(LearningLog.of(one), MEMORY, refits=8, risk=0.05, settings=fast) for one in (jobs, other))
    assert told.predicted[:251].sum() > 100
    for name in ("members", "combined", "calibrated", "safe_log2", "lean_log2", "class_mode", "class_poll"):
        before, after = getattr(told, name), getattr(otherwise, name)
        jobs_first = (slice(None), slice(0, 251)) if name == "members" else slice(0, 251)
        np.testing.assert_array_equal(before[jobs_first], after[jobs_first], err_msg=name)
    assert not np.array_equal(told.safe_log2[251:], otherwise.safe_log2[251:], equal_nan=True)


def test_the_replay_sees_what_a_live_service_that_knew_the_ended_jobs_would(make_jobs: MakeJobs) -> None:
    log = LearningLog.of(make_jobs(400, seed=9))
    whole = look(log, MEMORY, History(), Items()).features
    values = log.values_log2(MEMORY)
    for row in np.random.default_rng(0).integers(0, 400, 25):
        now = float(log.submit_time[row])
        ended = np.flatnonzero((log.end_time <= now) & ~np.isnan(values))
        history = History()
        for job in ended[np.argsort(log.end_time[ended], kind="stable")]:
            history.observe(keys_of(log.requests[job]), float(values[job]), float(log.end_time[job]))
        request = log.requests[row]
        alone = assemble(
            [numeric_row(request_row(request), keys_of(request), history, now)], [category_row(request)], MEMORY
        )
        assert_same_rows(alone, whole.rows(slice(int(row), None)), 1)


def test_a_trail_keeps_the_last_values_and_their_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, 3 * WINDOW).astype(float)
    trail = Trail()
    for place, value in enumerate(values.tolist()):
        trail.add(value, end_time=float(place))
        last = values[: place + 1][-WINDOW:]
        assert list(trail.recent) == last.tolist()
        assert trail.ordered == sorted(last.tolist())
    assert trail.count == len(values)
    assert trail.newest_time == len(values) - 1


def test_the_statistics_of_a_trail_are_those_of_its_values() -> None:
    values = [7.0, 9.0, 8.0, 12.0, 8.5, 6.0, 10.0]
    trail, mean = Trail(), values[0]
    for place, value in enumerate(values):
        trail.add(value, end_time=100.0 * place)
        mean += NEWEST_WEIGHT * (value - mean)
    told = dict(zip(STATISTICS, statistics(trail, now=1623.0), strict=True))
    assert told["count"] == math.log2(8)
    assert told["age"] == math.log2(1 + 1023)
    assert (told["last"], told["before"]) == (10.0, 6.0)
    assert told["mean"] == pytest.approx(mean)
    assert told["highest_of_5"] == 12.0
    assert (told["lowest"], told["median"], told["highest"]) == (6.0, 8.5, 12.0)
    assert told["p90"] in (10.0, 12.0)


def test_of_one_value_all_statistics_are_that_value() -> None:
    trail = Trail()
    trail.add(5.0, end_time=0.0)
    told = dict(zip(STATISTICS, statistics(trail, now=0.0), strict=True))
    assert math.isnan(told.pop("before"))
    assert (told.pop("count"), told.pop("age")) == (1.0, 0.0)
    assert set(told.values()) == {5.0}


def test_nothing_known_is_a_count_of_0_and_unknown_else() -> None:
    count, *others = statistics(None, now=1e9)
    assert count == 0
    assert all(math.isnan(value) for value in others)


def test_numbers_in_a_name_do_not_part_a_family() -> None:
    one, other = (keys_of(JobRequest(user="ada", job_name=name, command=name)) for name in ("lm_b64_r3", "lm_b8_r12"))
    assert one == other


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("user", "bob", "user"),
        ("command", "python other.py", "command"),
        ("job_name", "eval-1", "name"),
        ("req_mem_mb", 1.0, "request"),
        ("timelimit_s", 60.0, "request"),
        ("group", "physics", "group"),
        ("account", "a2", "account"),
        ("partition", "gpu", "partition"),
    ],
)
def test_a_relation_holds_where_all_that_it_names_is_the_same(field: str, value: object, word: str) -> None:
    fields: dict[str, object] = {
        "user": "ada", "group": "maths", "account": "a1", "partition": "batch", "job_name": "train-1",
        "command": "python train.py", "req_mem_mb": 4096.0, "req_cpus": 4, "timelimit_s": 3600.0,
    }  # fmt: skip
    one, other = (keys_of(JobRequest.from_mapping(fields | change)) for change in ({}, {field: value}))
    shared = {relation for relation, a, b in zip(RELATIONS, one, other, strict=True) if a == b}
    assert shared == {relation for relation in RELATIONS if word not in relation.replace(",", "").split()}


def test_jobs_that_say_nothing_have_only_being_jobs_in_common() -> None:
    *others, everything = keys_of(JobRequest())
    assert set(others) == {None}
    assert everything is not None


def test_the_anchor_is_the_mean_of_the_closest_relation_and_values_are_relative_to_it() -> None:
    history, request = History(), JobRequest(user="ada", job_name="train-1", req_mem_mb=2.0**12)
    history.observe(keys_of(JobRequest(user="ada", job_name="other")), 4.0, end_time=0.0)
    history.observe(keys_of(request), 10.0, end_time=1.0)
    features = assemble(
        [numeric_row(request_row(request), keys_of(request), history, now=1.0)], [category_row(request)], MEMORY
    )
    told = dict(zip(NUMERIC_NAMES, features.numeric[0].tolist(), strict=True))
    assert features.anchor.tolist() == [10.0]
    assert (told["anchor_log2"], told["anchor_relation"], told["request_to_anchor"]) == (10.0, 0.0, 2.0)
    assert told["last (same user, command, name and request)"] == 0.0
    assert told["lowest (same user)"] == -6.0
    assert told["count (same user)"] == pytest.approx(math.log2(3))


def test_without_any_history_the_anchor_is_the_targets_own() -> None:
    request = JobRequest(user="ada")
    for target in TARGETS:
        row = numeric_row(request_row(request), keys_of(request), History(), now=0.0)
        features = assemble([row], [category_row(request)], target)
        assert features.anchor.tolist() == [target.first_anchor_log2]
        assert features.numeric.shape == (1, len(NUMERIC_NAMES) + target.is_wait * len(QUEUE_NAMES))
        assert features.numeric[0, NUMERIC_NAMES.index("anchor_relation")] == len(RELATIONS)


def test_the_clock_is_utc_and_the_week_begins_on_monday() -> None:
    # 2023-11-14 22:13:20 UTC, a Tuesday.
    row = dict(zip(NUMERIC_NAMES, request_row(JobRequest(submit_time=1_700_000_000.0)), strict=False))
    assert row["hour_of_day"] == pytest.approx(22 + 13 / 60 + 20 / 3600)
    assert row["day_of_week"] == 1.0


def test_numbers_of_flags_are_read_and_an_endless_one_does_no_harm() -> None:
    one, other, endless = (
        request_row(JobRequest(command=f"python train.py --batch-size {size} --lr=0.1 -o out.1"))
        for size in ("64", "128", "9" * 500)
    )
    differ = [place for place in range(len(one)) if one[place] != other[place] and not math.isnan(one[place])]
    assert len(differ) == 1
    assert one[differ[0]] == math.log2(65)
    assert all(math.isnan(value) or math.isfinite(value) for value in endless)


def test_categories_pass_over_digits_and_stay_within_their_buckets() -> None:
    one, other = (category_row(JobRequest(user="ada", job_name=f"train-{number}")) for number in (7, 12))
    assert one == other
    assert len(one) == len(CATEGORY_NAMES)
    assert all(0 <= bucket < CATEGORY_BUCKETS for bucket in one)
    assert category_row(JobRequest()) == [0] * len(CATEGORY_NAMES)


def test_a_row_has_a_value_for_every_name() -> None:
    request = JobRequest()
    assert len(numeric_row(request_row(request), keys_of(request), History(), 0.0)) == len(NUMERIC_NAMES)
    assert len(HISTORY_NAMES) == len(RELATIONS) * len(STATISTICS)
    assert len(set(NUMERIC_NAMES)) == len(NUMERIC_NAMES)
