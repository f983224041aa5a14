"""The service's own schedule, and what answers when the current model is damaged."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crowdrun.api.serving.follow import Follower
from crowdrun.api.serving.retrainings import Retrainings
from crowdrun.api.serving.schedule import Schedule
from crowdrun.data.errors import ConfigError, ModelError
from crowdrun.data.settings import Settings, load_settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry

CROWDRUN = str(Path(sys.executable).parent / "crowdrun")


def damage(models_dir: Path, model_id: str) -> None:
    file = models_dir / model_id / "crowd.json"
    file.write_bytes(file.read_bytes().replace(b"j", b"k", 1))


@pytest.fixture
def damaged(settings: Settings, crowd: Crowd) -> tuple[str, str]:
    """The last good model, and a current one that is damaged."""
    first = registry.current_id(settings.models_dir)
    second = registry.publish(crowd, settings.models_dir)
    damage(settings.models_dir, second)
    return first, second


def test_a_service_that_starts_with_a_damaged_model_serves_the_last_good_one_and_says_so(
    settings: Settings, damaged: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = damaged
    with JobStore.open(settings.store) as store:
        follower = Follower(settings.models_dir, store)
        with caplog.at_level(logging.ERROR):
            follower.look()
        assert follower.get().model_id == first
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"model {second}: crowd.json was changed" in line
    assert f"Model {first}, which was current before, answers meanwhile" in line


def test_a_command_says_so_too_and_answers(damaged: tuple[str, str]) -> None:
    first, second = damaged
    command = [CROWDRUN, "predict", "--user", "user1", "--job-name", "trainb-9", "--mem", "16G", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["model_id"] == first
    assert f"crowdrun: model {second}: crowd.json was changed" in finished.stderr


def test_where_no_model_is_whole_nothing_is_made_up(settings: Settings, damaged: tuple[str, str]) -> None:
    first, second = damaged
    damage(settings.models_dir, first)
    with pytest.raises(ModelError, match=f"model {second}: crowd.json was changed"):
        registry.good_id(settings.models_dir, pytest.fail)


def test_rollback_goes_to_what_was_current_before_also_after_activate(settings: Settings, crowd: Crowd) -> None:
    models = settings.models_dir
    first = registry.current_id(models)
    second, third = registry.publish(crowd, models), registry.publish(crowd, models)
    registry.activate(models, first)
    assert registry.earlier_ids(models) == [third, second]
    assert registry.roll_back(models) == third
    assert registry.roll_back(models) == second
    assert registry.roll_back(models) == first


@contextmanager
def scheduled(settings: Settings) -> Iterator[None]:
    """The schedule of a service, which ends what it began."""
    retrainings = Retrainings(settings)
    try:
        with Schedule(retrainings, settings.retrain_every_s).running():
            yield
    finally:
        retrainings.stop()


def test_the_schedule_is_off_unless_it_is_set(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    assert settings.retrain_every_s == 0
    with caplog.at_level(logging.INFO), scheduled(settings):
        time.sleep(0.1)
    assert not caplog.records


def test_the_service_retrains_when_it_is_time_and_says_what_came_of_it(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    often = load_settings(options={"retrain_every_s": "1"})
    with caplog.at_level(logging.INFO), scheduled(often):
        while not caplog.records:
            time.sleep(0.1)
    assert "retraining: kept; retraining is not needed; count: 0 jobs ended" in caplog.records[0].getMessage()


def test_a_retraining_ends_with_the_service(settings: Settings) -> None:
    def running() -> list[str]:
        shown = subprocess.run(["ps", "-ww", "-o", "args=", "-A"], capture_output=True, text=True).stdout
        return [line for line in shown.splitlines() if "retrain --if-needed" in line and str(settings.home) in line]

    with scheduled(load_settings(options={"retrain_every_s": "1"})):
        while not running():
            time.sleep(0.05)
    assert not running()


@pytest.mark.parametrize("value", ["-1", "0.5", "inf", "often"])
def test_an_interval_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="retrain_every_s"):
        load_settings(options={"retrain_every_s": value})
