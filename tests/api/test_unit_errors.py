"""A log whose memory changes its unit: kept aside at ingest, and not learnt by a service."""

import logging
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from crowdrun.api.commands.ingest import command as ingest
from crowdrun.api.serving.live_model import LiveModel
from crowdrun.data.settings import Settings, load_settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.history import RELATIONS
from crowdrun.predictor.persistence import registry


@pytest.fixture
def wrong_log(job_log: pd.DataFrame, tmp_path: Path) -> Path:
    """`job_log` with 100 jobs in KB where MB is meant."""
    jobs = job_log.copy()
    jobs.loc[200:299, "peak_mem_mb"] *= 1024
    jobs.to_csv(tmp_path / "jobs.csv", index=False)
    return tmp_path / "jobs.csv"


def test_a_stretch_in_another_unit_is_kept_aside_named_and_can_be_mended(wrong_log: Path) -> None:
    result = CliRunner().invoke(ingest, [str(wrong_log), "--format", "table"])
    assert result.exit_code == 0, result.output
    (file,) = (load_settings().home / "aside").iterdir()
    assert "100 jobs that ended 2023-11-15 04:5" in result.stderr
    assert "have 1024 times the memory of the same users' earlier jobs: a unit error?" in result.stderr
    assert f"100 jobs are kept aside in {file} and are not learnt" in result.stderr
    aside = pd.read_csv(file)
    assert sorted(aside["job_id"]) == list(range(1200, 1300))
    with JobStore.open(load_settings().store) as store:
        assert store.count() == 300
    aside["peak_mem_mb"] /= 1024
    aside.to_csv(file, index=False)
    mended = CliRunner().invoke(ingest, [str(file), "--format", "table"])
    assert "100 new" in mended.stdout
    assert "kept aside" not in mended.stderr


def test_whoever_knows_better_can_trust_the_units(wrong_log: Path) -> None:
    result = CliRunner().invoke(ingest, [str(wrong_log), "--format", "table", "--trust-units"])
    assert "400 new" in result.stdout
    assert "aside" not in result.stderr


def test_a_live_model_does_not_learn_them_and_says_so_once(
    settings: Settings, job_log: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    live = LiveModel(settings.models_dir, registry.current_id(settings.models_dir))
    history = live._crowd.models["mem_mb"].history
    before = history.trails[(len(RELATIONS) - 1,)].count
    rows = job_log[200:260].assign(
        job_id=lambda jobs: "again" + jobs["job_id"], submit_time=lambda jobs: jobs["submit_time"] + 1e6,
        start_time=lambda jobs: jobs["start_time"] + 1e6, end_time=lambda jobs: jobs["end_time"] + 1e6,
    )  # fmt: skip
    wrong = rows.assign(peak_mem_mb=rows["peak_mem_mb"] / 1024)
    with JobStore.open(settings.store) as store:
        store.add_rows(wrong.astype(object).where(wrong.notna(), None).to_dict("records"), source="rest")
        with caplog.at_level(logging.ERROR):
            live.learn(store)
    assert history.trails[(len(RELATIONS) - 1,)].count == before
    (line,) = [record.getMessage() for record in caplog.records]
    assert "have 1/1024 times the memory" in line
    assert "not learnt" in line
