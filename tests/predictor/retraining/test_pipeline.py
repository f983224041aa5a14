"""From a store and a model in use to a published model, or to the reason for none."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from crowdrun.data import store_follow
from crowdrun.data.columns import SCHEMA
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.retraining.attempt import Attempt
from crowdrun.predictor.retraining.pipeline import Champion, Done, Options, needed, run
from crowdrun.predictor.retraining.triggers import Limits
from crowdrun.predictor.target_settings import TargetSettings

Cluster = Callable[..., pd.DataFrame]
Quick = Mapping[str, TargetSettings]


class Site:
    """A store and a models folder, as a cluster has them."""

    def __init__(self, folder: Path, quick: Quick) -> None:
        self.models = folder / "models"
        self.store = JobStore.open(f"sqlite:///{folder / 'store.sqlite'}")
        self.quick = quick

    def ingest(self, jobs: pd.DataFrame) -> None:
        self.store.add(pa.Table.from_pandas(jobs, schema=SCHEMA, preserve_index=False), source="test")

    def publish(self, jobs: pd.DataFrame, settings: Quick | None = None) -> str:
        """A first model, trained on these jobs, which are ingested."""
        self.ingest(jobs)
        crowd = Crowd.train(jobs, settings=settings or self.quick)
        return registry.publish(crowd, self.models, store_position=store_follow.position(self.store))

    @property
    def champion(self) -> Champion | None:
        return Champion.current(self.models, pytest.fail)

    def retrain(self, **options: object) -> Done:
        return run(self.store, self.models, self.champion, Options(**options), lambda *_: None)  # type: ignore[arg-type]

    def needed(self, **limits: float) -> tuple[bool, list[str]]:
        return needed(self.store, self.champion, Limits(**limits), lambda *_: None)  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path, quick: Quick) -> Site:
    return Site(tmp_path, quick)


def test_without_news_nothing_is_published_and_the_reason_is_said(site: Site, cluster: Cluster) -> None:
    first = site.publish(cluster(600, seed=1))
    done = site.retrain()
    assert done.model_id is None
    assert "at least 200 jobs" in done.report["why"]
    assert "--force" in next(done.lines())
    assert registry.current_id(site.models) == first


def test_a_challenger_that_is_no_better_is_not_published_and_the_report_says_why(site: Site, cluster: Cluster) -> None:
    # The log does not change, so a tenth more of it teaches little.
    jobs = cluster(1800, seed=2)
    first = site.publish(jobs[:1400])
    site.ingest(jobs[1400:])
    done = site.retrain()
    assert done.model_id is None, done.report
    assert registry.list_models(site.models) == [first]
    verdict = done.report["targets"]["mem_mb"]
    assert verdict["outcome"] == "no difference"
    assert "below 0.99 throughout is needed" in verdict["why"]
    assert verdict["loss_ratio"]["low"] < 1 < verdict["loss_ratio"]["high"] or verdict["judged"] >= 100
    last = Attempt.last(site.models)
    assert last is not None
    assert last.published is None
    assert last.report["targets"] == done.report["targets"]


def test_a_challenger_that_is_better_is_published_for_what_it_is_better_at(site: Site, cluster: Cluster) -> None:
    jobs = cluster(2400, seed=3)
    # Trained on 60 jobs, this champion knows next to nothing, and its members never learn more.
    first = site.publish(jobs[:60])
    site.ingest(jobs[60:])
    done = site.retrain()
    assert done.report["champion"] == first
    assert done.model_id == registry.current_id(site.models)
    better = [name for name, verdict in done.report["targets"].items() if verdict["outcome"] == "better"]
    assert "mem_mb" in better
    manifest = registry.describe(site.models, str(done.model_id))
    assert manifest.summary["retraining"]["targets"] == done.report["targets"]
    assert manifest.summary["last_submit_time"] == jobs["submit_time"].max()
    assert manifest.store_position == store_follow.position(site.store)
    crowd = registry.load_current(site.models)
    # It has been through the segment: its history ends where the log ends.
    assert crowd.models["mem_mb"].history.newest_time == jobs["end_time"].max()
    # The settings of the champion are those of its successor; a target that it did not have comes with the usual ones.
    before = registry.load(site.models, first).models
    assert all(crowd.models[name].settings.members == ("recent", "linear") for name in before)


def test_a_champion_with_members_that_are_no_more_is_named_and_has_nothing_to_defend(
    site: Site, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = site.publish(cluster(100, seed=6))
    monkeypatch.delitem(LEARNERS, "linear")
    said: list[str] = []
    assert Champion.current(site.models, said.append) is None
    assert len(said) == 1
    assert model_id in said[0]
    assert "linear" in said[0]


def test_the_segment_is_judged_with_what_ended_before_it_and_never_with_its_own(site: Site, cluster: Cluster) -> None:
    jobs = cluster(1600, seed=4)
    site.publish(jobs[:1000])
    site.ingest(jobs[1000:])
    segment = site.retrain().report["segment"]
    assert segment["jobs"] == 300
    assert segment["first_submit_time"] == jobs["submit_time"].iloc[1300]
    assert segment["last_submit_time"] == jobs["submit_time"].iloc[-1]


def test_force_publishes_without_a_contest(site: Site, cluster: Cluster) -> None:
    first = site.publish(cluster(400, seed=5))
    done = site.retrain(force=True)
    assert done.model_id not in {None, first}


def test_triggers_count_from_the_last_attempt_whatever_came_of_it(site: Site, cluster: Cluster) -> None:
    assert site.needed() == (True, ["there is no model in use"])
    jobs = cluster(1000, seed=6)
    site.publish(jobs[:600])
    is_needed, said = site.needed()
    assert not is_needed
    assert said[0] == "count: 0 jobs ended since the last retraining (limit: 1000)"
    assert [line.partition(":")[0] for line in said] == ["count", "age", "coverage", "drift"]
    site.ingest(jobs[600:])
    assert site.needed(jobs=400) == (True, ["count: 400 jobs ended since the last retraining (limit: 400)"])
    assert site.needed(days=1e-9)[1][-1].startswith("age: 0.0 days")
    assert site.retrain().model_id is None
    assert not site.needed(jobs=400)[0]


def test_a_drift_is_a_reason_of_its_own(site: Site, cluster: Cluster) -> None:
    jobs = cluster(1800, seed=7, drift="family", at=1300)
    site.publish(jobs[:1000])
    site.ingest(jobs[1000:])
    is_needed, said = site.needed()
    assert is_needed
    assert said[-1].startswith(("drift: ", "coverage: "))


def test_jobs_with_a_unit_error_are_neither_learnt_nor_news(site: Site, cluster: Cluster) -> None:
    jobs = cluster(1600, seed=8, drift="unit", at=1100, until=1200)
    site.publish(jobs[:1000])
    site.ingest(jobs[1000:])
    done = site.retrain()
    (finding,) = done.kept_aside
    assert finding.power == 1
    assert 95 <= finding.jobs <= 100
    assert done.report["kept_aside"] == [str(finding)]


def test_a_damaged_model_in_use_gives_way_to_the_one_before(site: Site, cluster: Cluster) -> None:
    jobs = cluster(300, seed=9)
    first = site.publish(jobs)
    second = registry.publish(registry.load(site.models, first), site.models, store_position=0)
    (site.models / second / "crowd.json").write_text("{}")
    complaints: list[str] = []
    champion = Champion.current(site.models, complaints.append)
    assert champion is not None
    assert champion.model_id == first
    assert f"model {second}: crowd.json was changed" in complaints[0]
    (site.models / first / "crowd.json").unlink()
    assert Champion.current(site.models, complaints.append) is None
    assert "what is trained now has nothing to beat" in complaints[-1]


def test_settings_of_a_search_are_used_only_where_they_are_better_on_jobs_that_it_never_saw(
    site: Site, cluster: Cluster
) -> None:
    site.ingest(cluster(500, seed=10))
    done = site.retrain(minutes=0.2)
    assert done.model_id is not None
    for name, found in done.report["search"].items():
        better = found["on_the_newest_segment"]["outcome"] == "better"
        assert found["used"] is better
        used = found["settings"] if better else TargetSettings().to_json()
        assert done.summary["settings"][name] == used
        assert any(line.startswith(f"{name}: ") for line in done.lines())
