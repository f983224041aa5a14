"""`crowdrun forget` and names as keyed hashes, as a user meets them."""

import json
from pathlib import Path

import pandas as pd
from click.testing import CliRunner

from crowdrun.api.commands.forget import command as forget
from crowdrun.api.commands.ingest import command as ingest
from crowdrun.api.commands.predict import command as predict
from crowdrun.api.commands.retrain import command as retrain
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings, load_settings
from crowdrun.predictor.persistence import registry
from tests.api.conftest import serving

ASKED = ["--user", "user1", "--job-name", "traina-7", "--mem", "16G", "--json"]


def test_a_forgotten_user_is_in_no_later_model_and_has_no_token(settings: Settings) -> None:
    _, text = TokenFile.of(settings).create("user1", Role.SUBMIT)
    first = registry.current_id(settings.models_dir)
    warned = CliRunner().invoke(forget, ["user1"])
    assert warned.exit_code == 0, warned.output
    assert "removed 80 runs and 1 token of user1" in warned.stdout
    assert "a published model may still answer from these jobs" in warned.stderr
    assert TokenFile.of(settings).find(text) is None
    done = CliRunner().invoke(forget, ["user1", "--retrain"])
    assert done.exit_code == 0, done.output
    assert f"removed {first}" in done.stdout
    (model_id,) = registry.list_models(settings.models_dir)
    files = [path for path in (settings.models_dir / model_id).rglob("*") if path.is_file()]
    assert not [path.name for path in files if b"user1" in path.read_bytes()]
    crowd = registry.load(settings.models_dir, model_id)
    assert not [key for key in crowd.models["mem_mb"].history.trails if "user1" in key]


def test_names_are_hashed_on_the_way_in_and_the_crowd_knows_them_all_the_same(
    crowdrun_home: Path, job_log: pd.DataFrame, tmp_path: Path
) -> None:
    # Some in another unit: what is kept aside holds no name either.
    jobs = job_log.copy()
    jobs.loc[200:299, "peak_mem_mb"] *= 1024
    jobs.to_csv(tmp_path / "jobs.csv", index=False)
    told = CliRunner().invoke(ingest, [str(tmp_path / "jobs.csv"), "--format", "table", "--pseudonymise"])
    assert told.exit_code == 0, told.output
    assert list((crowdrun_home / "aside").iterdir())
    assert CliRunner().invoke(retrain, []).exit_code == 0
    for path in crowdrun_home.rglob("*"):
        if path.is_file():
            assert b"user1" not in path.read_bytes(), path
    answer = json.loads(CliRunner().invoke(predict, ASKED).stdout)
    assert answer["request"]["user"] == "user1"
    assert "same user" in answer["predictions"]["mem_mb"]["evidence"]["shared"]


def test_the_service_hashes_what_it_is_told_and_knows_whose_jobs_are_whose(
    crowdrun_home: Path,
) -> None:
    settings = load_settings(options={"pseudonymise": True, "trust_local": "none"})
    _, own = TokenFile.of(settings).create("user1", Role.SUBMIT)
    _, operator = TokenFile.of(settings).create("root", Role.OPERATOR)
    with serving(settings) as client:
        for user in ("user1", "user2"):
            sent = {"job_id": f"of-{user}", "user": user, "state": "COMPLETED", "peak_mem_mb": 5.0}
            assert client.post("/v1/jobs", json=sent, headers=bearer(operator)).json()["new"] == 1
        assert client.get("/v1/jobs/of-user1", headers=bearer(own)).status_code == 200
        assert client.get("/v1/jobs/of-user2", headers=bearer(own)).status_code == 404
        assert "user1" not in client.get("/v1/jobs/of-user1", headers=bearer(operator)).json()["runs"][0]["user"]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}
