"""Models, retrainings and reports over REST."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from crowdrun.api.dashboard import words
from crowdrun.api.serving.retrainings import Retrainings
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings, load_settings
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from tests.api.conftest import serving


def ended(client: httpx.Client, where: str) -> dict[str, object]:
    """What came of a retraining."""
    while (told := client.get(where).json())["state"] == "running":
        assert 0 <= told["share"] <= 1
        time.sleep(0.2)
    return dict(told)


def test_another_model_is_taken_into_use_at_once(service: httpx.Client, settings: Settings, crowd: Crowd) -> None:
    first = registry.current_id(settings.models_dir)
    second = registry.publish(crowd, settings.models_dir)
    listed = service.get("/v1/models").json()
    assert listed["current"] == second
    assert [one["id"] for one in listed["models"]] == [first, second]
    for model_id in (first, second):
        assert service.post(f"/v1/models/{model_id}/activate").json()["current"] == model_id
        assert service.post("/v1/predict", json={"user": "user1"}).json()["model_id"] == model_id
        assert service.get("/v1/model").json()["id"] == model_id


def test_a_model_that_is_not_there_or_damaged_is_not_taken_into_use(
    service: httpx.Client, settings: Settings, crowd: Crowd
) -> None:
    first = registry.current_id(settings.models_dir)
    damaged = registry.publish(crowd, settings.models_dir)
    registry.activate(settings.models_dir, first)
    next((settings.models_dir / damaged).rglob("*.npz")).write_bytes(b"")
    assert service.post("/v1/models/none/activate").status_code == 404
    refused = service.post(f"/v1/models/{damaged}/activate")
    assert refused.status_code == 409
    assert "was changed" in refused.json()["detail"]
    assert service.get("/v1/model").json()["id"] == first


def test_a_retraining_tells_its_progress_and_what_came_of_it(service: httpx.Client, settings: Settings) -> None:
    before = registry.current_id(settings.models_dir)
    begun = service.post("/v1/retrain", params={"force": True})
    assert begun.status_code == 202
    second = service.post("/v1/retrain")
    assert second.status_code == 409
    assert "GET /v1/retrain" in second.json()["detail"]
    told = ended(service, begun.headers["location"])
    assert told["state"] == "published", told
    assert told["model_id"] == registry.current_id(settings.models_dir) != before
    assert service.get("/v1/retrain").json()[0]["id"] == told["id"]
    kept = ended(service, service.post("/v1/retrain", params={"if_needed": True}).headers["location"])
    assert kept["state"] == "kept"
    assert "retraining is not needed" in kept["said"]  # type: ignore[operator]
    assert service.get("/v1/retrain/none").status_code == 404


def test_a_retraining_has_not_failed_while_what_came_of_it_is_being_written(
    crowdrun_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is gone, and with it the lock, a moment before its outcome is in the file."""
    retrainings, write = Retrainings(load_settings()), threading.Event()
    monkeypatch.setattr(Retrainings, "_process", lambda *_: None)
    monkeypatch.setattr(Retrainings, "_watch", lambda *_: write.wait())
    begun = retrainings.start()
    now = retrainings.get(begun.id)
    write.set()
    retrainings.stop()
    ended_without_a_word = retrainings.get(begun.id)
    assert now
    assert ended_without_a_word
    assert (now.state, ended_without_a_word.state) == ("running", "failed")


def test_a_retraining_that_cannot_be_says_why(empty_service: httpx.Client) -> None:
    told = ended(empty_service, empty_service.post("/v1/retrain").headers["location"])
    assert told["state"] == "failed"
    assert "crowdrun" in str(told["said"])


def test_a_retraining_whose_service_was_killed_is_not_taken_for_one_that_runs(settings: Settings) -> None:
    retrainings = Retrainings(settings)
    begun = retrainings.start(force=True)
    shown = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "-A"], capture_output=True, text=True).stdout
    (line,) = [one for one in shown.splitlines() if begun.id in one]
    # Its own watch would note the end, so another one looks at a copy of what it left.
    note = settings.home / "retrainings" / f"{begun.id}.json"
    content = note.read_bytes()
    os.kill(int(line.split()[0]), signal.SIGKILL)
    retrainings.stop()
    note.write_bytes(content)
    told = Retrainings(settings).get(begun.id)
    assert told is not None
    assert told.state == "failed"
    assert "the model in use stays" in told.said[0]


def test_waste_is_told_by_user_account_and_partition(service: httpx.Client) -> None:
    told = service.get("/v1/report/usage").json()
    assert {row["name"] for row in told["rows"]} == {f"user{number}" for number in range(5)}
    assert told["total"]["jobs"] == sum(row["jobs"] for row in told["rows"]) == 400
    wasted = [row["wasted_gbh"] for row in told["rows"]]
    assert wasted == sorted(wasted, reverse=True)
    assert told["total"]["asked_gbh"] > told["total"]["wasted_gbh"] > 0
    one = service.get("/v1/report/usage", params={"by": "partition", "limit": 1}).json()
    assert [row["name"] for row in one["rows"]] == ["batch"]
    assert service.get("/v1/report/usage", params={"since": 9e9}).json()["total"]["jobs"] == 0
    assert service.get("/v1/report/usage", params={"by": "shoe size"}).status_code == 422


def test_the_model_report_has_its_figures(service: httpx.Client) -> None:
    told = service.get("/v1/report/model").json()
    assert told["targets"]["mem_mb"]["pinball_log2"] > 0
    memory = told["figures"]["mem_mb"]
    assert memory["judged"] > 0
    assert memory["savings"]["ways"]["safe"]["waste_gbh"] < memory["savings"]["ways"]["request"]["waste_gbh"]


def test_the_model_report_says_what_the_page_shows(service: httpx.Client) -> None:
    figures = service.get("/v1/report/model").json()["figures"]
    shown = service.get("/dashboard/model").text
    for one in figures.values():
        (watched,) = (level["value"] for level in one["coverage"] if level["level"] == 0.95)
        assert f'<dd class="figure">{words.FILTERS["share"](watched)}</dd>' in shown
        for loss in one["pinball"].values():
            assert f"{loss:.4f}" in shown


def test_a_model_that_was_published_without_figures_has_none_in_its_report(settings: Settings, crowd: Crowd) -> None:
    registry.publish(Crowd(crowd.models, crowd.abstained, crowd.summary), settings.models_dir)
    with serving(settings) as client:
        assert client.get("/v1/report/model").json()["figures"] == {}


def test_with_the_role_submit_the_models_figures_are_not_shown(settings: Settings) -> None:
    with serving(replace(settings, trust_local=Role.SUBMIT)) as client:
        assert client.get("/v1/model").json()["summary"] == {}
