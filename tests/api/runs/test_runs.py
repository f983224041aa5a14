"""`crowdrun runs` and /v1/runs, of a run that really was."""

import getpass
import json
from dataclasses import replace
from pathlib import Path

import pytest

from crowdrun.api.cli import main
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings
from tests.api.conftest import serving

JOB = "task = 'lenet'\nranks = 1\nepochs = 2\n[resources]\nmem_mb = 3000\n[options]\nsamples = 64\n"


def crowdrun(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def ran(settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """The id of a run of LeNet."""
    (tmp_path / "lenet.toml").write_text(JOB)
    assert crowdrun("run", "--no-predict", "--json", str(tmp_path / "run.json"), str(tmp_path / "lenet.toml")) == 0
    capfd.readouterr()
    return str(json.loads((tmp_path / "run.json").read_text())["run_id"])


def test_a_run_is_listed_and_its_story_told_with_its_curves(
    ran: str, settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert crowdrun("runs", "--json") == 0
    [listed] = json.loads(capfd.readouterr().out)
    assert (listed["run_id"], listed["state"], listed["ranks"]) == (ran, "COMPLETED", 1)
    assert crowdrun("runs") == 0
    assert ran in capfd.readouterr().out
    picture = tmp_path / "run.png"
    assert crowdrun("runs", "show", ran[:16], "--plot", str(picture)) == 0
    told = capfd.readouterr().out
    assert "attempt 1: COMPLETED, given 3G, held" in told
    assert f"accuracy on the test set: {listed['scores']['accuracy']:.2%}" in told
    assert "in epoch 2" in told
    [events] = (settings.runs_dir / ran / "tensorboard").iterdir()
    for name in (b"epoch/loss", b"test/accuracy", b"train/learning_rate"):
        assert name in events.read_bytes()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_where_nothing_was_run_the_list_says_what_to_do(crowdrun_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert crowdrun("runs") == 0
    assert "'crowdrun run JOB' makes one" in capfd.readouterr().out
    assert crowdrun("runs", "show", "2026") == 1
    assert "no run in" in capfd.readouterr().err


def bearer(settings: Settings, user: str, role: Role) -> dict[str, str]:
    _, text = TokenFile.of(settings).create(user, role, expires=None)
    return {"Authorization": f"Bearer {text}"}


def test_over_rest_a_person_sees_own_runs_alone_and_an_operator_all(ran: str, settings: Settings) -> None:
    with serving(replace(settings, trust_local=None)) as service:
        owner = bearer(settings, getpass.getuser(), Role.SUBMIT)
        other, operator = bearer(settings, "somebody", Role.SUBMIT), bearer(settings, "chief", Role.OPERATOR)
        for headers in (owner, operator):
            assert [one["run_id"] for one in service.get("/v1/runs", headers=headers).json()["runs"]] == [ran]
            told = service.get(f"/v1/runs/{ran}", headers=headers).json()
            assert [epoch["epoch"] for epoch in told["attempt_list"][0]["epochs"]] == [1, 2]
            assert told["attempt_list"][0]["peak_mem_mb"] == told["peak_mem_mb"] > 50
            assert told["rank_reports"][0]["peak_mem_mb"] > 50
            assert any("as asked for" in reason for reason in told["plan"]["reasons"])
        assert service.get("/v1/runs", headers=other).json() == {"runs": []}
        assert service.get(f"/v1/runs/{ran}", headers=other).status_code == 404
        assert service.get("/v1/runs/20260101T000000Z-none-0000", headers=operator).status_code == 404
        assert service.get("/v1/runs").status_code == 401
