"""The search: within its time, the defaults first, and what it chose is what a crowd is trained with."""

import builtins
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from crowdrun.data.errors import ConfigError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.retraining.search import search
from crowdrun.predictor.target_settings import TargetSettings


def test_it_ends_in_time_and_tells_what_it_gained_on_the_past(cluster: Callable[..., pd.DataFrame]) -> None:
    jobs = cluster(250, seed=1)
    said: list[tuple[str, float]] = []
    began = time.monotonic()
    found = search(jobs, minutes=0.5, progress=lambda doing, share: said.append((doing, share)))
    # The limit is hard but for one fit; the slack is for a machine that does other things as well.
    assert time.monotonic() - began < 60
    assert set(found) == {"mem_mb", "run_time_s"}
    for one in found.values():
        if one.default_loss is not None:
            assert one.chosen_loss is not None
            assert one.chosen_loss <= one.default_loss
        assert TargetSettings.from_json(one.to_json()["settings"]) == one.settings
    assert said[0][0].startswith("search mem_mb: trial 1")
    assert all(0 <= share <= 1 for _, share in said)


def test_without_time_for_the_defaults_they_stay(cluster: Callable[..., pd.DataFrame]) -> None:
    found = search(cluster(250, seed=1), minutes=1e-4)
    assert all(one.settings == TargetSettings() and one.default_loss is None for one in found.values())


def test_without_optuna_the_advice_is_how_to_install_it(
    cluster: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: Any, **more: Any) -> Any:
        if name == "optuna":
            raise ImportError("No module named 'optuna'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ConfigError, match=r"pip install 'crowdrun\[search\]'"):
        search(cluster(250, seed=1), minutes=0.1)


def test_a_crowd_is_trained_with_the_members_and_settings_that_were_chosen(
    cluster: Callable[..., pd.DataFrame],
) -> None:
    chosen = TargetSettings(members=("recent", "linear"), parts={"linear": {"penalty": 3.0}})
    crowd = Crowd.train(cluster(150, seed=2), settings={"mem_mb": chosen, "run_time_s": chosen})
    assert list(crowd.models["mem_mb"].learners) == ["recent", "linear"]
    assert crowd.models["mem_mb"].learners["linear"].settings.to_json() == {"penalty": 3.0}
    assert crowd.summary["settings"]["mem_mb"] == chosen.to_json()


@pytest.mark.parametrize(
    ("members", "parts", "message"),
    [
        ((), {}, "must be some of recent"),
        (("oracle",), {}, "must be some of recent"),
        (("linear",), {"linear": {"depth": 3}}, "has no depth; it has penalty"),
        (("linear",), {"lines": {}}, "no part 'lines'"),
        (("linear",), {"boosted": {"max_depth": 2.5}}, "must be a whole number above 0"),
    ],
)
def test_settings_that_nobody_can_mean_are_refused(members: Any, parts: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TargetSettings(members=members, parts=parts)


def test_features_that_there_are_not_cannot_be_hidden() -> None:
    with pytest.raises(ConfigError, match=r"hidden features are \['weather'\]; they must be some of words, clock"):
        TargetSettings(hidden=("weather",))


def test_what_is_hidden_changes_no_answer_and_what_is_seen_does(cluster: Callable[..., pd.DataFrame]) -> None:
    jobs = cluster(150, seed=2)
    chosen = TargetSettings(members=("boosted", "linear"), hidden=("words", "clock"))
    crowd = Crowd.train(jobs, settings={"mem_mb": chosen, "run_time_s": chosen})
    plain = Crowd.train(jobs, settings=dict.fromkeys(("mem_mb", "run_time_s"), replace(chosen, hidden=())))
    request = JobRequest(user="user1", job_name="train", work_dir="/home/user1", req_mem_mb=4096.0, req_cpus=4)
    # Told in other words; who asks, for what and when is the same.
    other = replace(request, work_dir="/scratch/some/where/else")
    told = [one.recommend_many([request, other]) for one in (crowd, plain)]
    hidden, seen = ([one.predictions["mem_mb"].quantiles for one in pair] for pair in told)
    assert hidden[0] == hidden[1]
    assert seen[0] != seen[1]


def test_every_learner_has_settings_that_a_search_can_look_through() -> None:
    for name, learner in LEARNERS.items():
        assert learner(settings=learner.settings_type()).settings == TargetSettings().of(name)
