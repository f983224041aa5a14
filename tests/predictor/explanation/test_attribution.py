"""Attributions add up to what the boosted trees say, and each column has a group with a readable name."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from crowdrun.data.errors import ModelError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.explanation.attribution import LEVELS_EXPLAINED, attribute, level_weights
from crowdrun.predictor.explanation.feature_groups import group_of
from crowdrun.predictor.features import NUMERIC_NAMES
from crowdrun.predictor.learners.boosted import BOOSTED_LEVELS, OWN_FORM_FILE, Boosted
from crowdrun.predictor.quantiles import LEVELS
from crowdrun.predictor.target import TARGETS_BY_NAME


def boosted(crowd: Crowd, target: str) -> Boosted:
    learner = crowd.models[target].learners["boosted"]
    assert isinstance(learner, Boosted)
    return learner


@pytest.mark.parametrize("target", ["mem_mb", "run_time_s", "gpus"])
def test_base_and_contributions_add_up_to_the_members_prediction(
    target: str, sample_crowd: Crowd, some_requests: list[JobRequest]
) -> None:
    offset = TARGETS_BY_NAME[target].offset
    for request in some_requests[:40]:
        features = sample_crowd.features(target, request)
        said = boosted(sample_crowd, target).predict(features)[0] + features.anchor[0]
        for level in attribute(TARGETS_BY_NAME[target], boosted(sample_crowd, target), features):
            member = said[LEVELS.tolist().index(level.level)]
            factors = sum(math.log2(one.factor) for one in level.attributions)
            assert math.log2(level.base + offset) + factors == pytest.approx(member, abs=1e-4)
            assert math.log2(level.prediction + offset) == pytest.approx(member, abs=1e-4)
            amounts = sum(one.amount for one in level.attributions)
            assert level.base + amounts == pytest.approx(level.prediction, abs=1e-6 * (1 + abs(level.prediction)))


def test_an_amount_has_the_sign_of_its_factor_and_the_largest_comes_first(
    sample_crowd: Crowd, some_requests: list[JobRequest]
) -> None:
    features = sample_crowd.features("mem_mb", some_requests[0])
    levels = attribute(TARGETS_BY_NAME["mem_mb"], boosted(sample_crowd, "mem_mb"), features)
    assert tuple(level.level for level in levels) == LEVELS_EXPLAINED
    for level in levels:
        assert all((one.amount > 0) == (one.factor > 1) for one in level.attributions)
        moves = [abs(math.log(one.factor)) for one in level.attributions]
        assert moves == sorted(moves, reverse=True)
        assert len({one.feature for one in level.attributions}) == len(level.attributions)


def test_levels_that_cross_are_sorted_as_the_learner_does() -> None:
    crossed = np.array([1.0, 3.0, 2.0, 4.0, 6.0, 5.0, 7.0])
    assert level_weights(crossed, 0.5) @ crossed == pytest.approx(3.0)
    weights = level_weights(crossed, 0.95)
    assert weights.sum() == pytest.approx(1.0)
    assert 5.0 <= weights @ crossed <= 6.0
    assert np.flatnonzero(weights).tolist() == [4, 5]
    assert level_weights(np.arange(7.0), float(BOOSTED_LEVELS[3]))[3] == 1.0


@pytest.mark.parametrize("column", NUMERIC_NAMES)
def test_every_column_is_in_a_group_that_a_person_can_read(column: str) -> None:
    for target in TARGETS_BY_NAME:
        if column == "request_to_anchor" and TARGETS_BY_NAME[target].request_column is None:
            continue
        group = group_of(column, target)
        assert group != column
        assert "_" not in group


def test_xgboosts_own_form_is_published_with_the_model_and_optional(sample_crowd: Crowd, tmp_path: Path) -> None:
    learner = boosted(sample_crowd, "mem_mb")
    learner.save(tmp_path)
    assert Boosted.load(tmp_path).own_form == learner.own_form
    (tmp_path / OWN_FORM_FILE).unlink()
    older = Boosted.load(tmp_path)
    features = sample_crowd.features("mem_mb", JobRequest(user="user1"))
    np.testing.assert_allclose(older.predict(features), learner.predict(features), atol=1e-3)
    with pytest.raises(ModelError, match="crowdrun retrain"):
        attribute(TARGETS_BY_NAME["mem_mb"], older, features)


def test_damaged_trees_are_a_model_error(sample_crowd: Crowd, tmp_path: Path) -> None:
    boosted(sample_crowd, "mem_mb").save(tmp_path)
    (tmp_path / OWN_FORM_FILE).write_bytes(b"{L\x00")
    damaged = Boosted.load(tmp_path)
    with pytest.raises(ModelError, match="cannot explain its trees"):
        attribute(TARGETS_BY_NAME["mem_mb"], damaged, sample_crowd.features("mem_mb", JobRequest()))


def test_without_xgboost_it_says_what_to_install(sample_crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ModelError, match="pip install xgboost-cpu"):
        attribute(
            TARGETS_BY_NAME["mem_mb"], boosted(sample_crowd, "mem_mb"), sample_crowd.features("mem_mb", JobRequest())
        )
