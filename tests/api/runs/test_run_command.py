"""`crowdrun run` as a person types it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from crowdrun.api.cli import main
from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "digits.toml"
GROWS = "import time\nheld = []\nfor _ in range(15): held.append(bytearray(10 << 20)); time.sleep(0.05)"


def crowdrun(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    return int(ended.value.code or 0)


def python(code: str) -> list[str]:
    return ["--", sys.executable, "-S", "-c", code]


def stored(home: Path) -> list[dict[Any, Any]]:
    with JobStore.open(f"sqlite:///{home / 'store.sqlite'}") as store:
        jobs = store.jobs()
    return jobs.to_dict("records")


def test_a_command_runs_unchanged_and_its_exit_status_and_outcome_are_kept(
    crowdrun_home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status = crowdrun(
        "--name", "mine", "--json", str(tmp_path / "run.json"), *python("print('x y'); raise SystemExit(5)")
    )
    said = capfd.readouterr()
    [job] = stored(crowdrun_home)
    told = json.loads((tmp_path / "run.json").read_text())
    assert (status, said.out) == (5, "x y\n")
    assert (job["job_name"], job["state"], job["exit_code"]) == ("mine", "FAILED", "5:0")
    assert job["job_id"] == f"{told['run_id']}.1"
    assert "ended FAILED, failed by itself (exit 5:0)" in said.err


def test_without_a_model_the_run_says_so_and_goes_on_with_what_is_asked_for(
    crowdrun_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert crowdrun("--mem-mb", "300", *python("pass")) == 0
    said = capfd.readouterr().err
    assert "no recommendation: no model is current in" in said
    assert "going on with what is asked for" in said
    assert "plan: memory 300 MB: as asked for" in said


def test_an_out_of_memory_death_is_tried_again_with_more_and_both_attempts_are_stored(
    crowdrun_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert crowdrun("--no-predict", "--mem-mb", "100", *python(GROWS)) == 0
    assert [(job["req_mem_mb"], job["state"]) for job in stored(crowdrun_home)] == [
        (100, "OUT_OF_MEMORY"),
        (200, "COMPLETED"),
    ]
    assert "attempt 1 ended OUT_OF_MEMORY, stopped at the memory limit" in capfd.readouterr().err


def test_a_wasteful_request_is_run_with_what_jobs_like_it_needed_and_the_outcome_is_learnt_from(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGNAME", "user1")
    record = tmp_path / "run.json"
    assert crowdrun("--name", "traina-9999", "--mem-mb", "16384", "--json", str(record), *python(GROWS)) == 0
    told = json.loads(record.read_text())
    said = capfd.readouterr().err
    assert told["recommendation"]["reasons"]
    assert all(reason[:40] in said.replace("\n", " ") for reason in told["recommendation"]["reasons"])
    assert told["plan"]["mem_mb"] < 4096
    assert 16384 in told["plan"]["ladder"]
    [kept] = [job for job in stored(settings.home) if job["job_name"] == "traina-9999"]
    assert (kept["req_mem_mb"], kept["state"]) == (told["plan"]["mem_mb"], "COMPLETED")
    assert "GB·h less than the request would have" in said


@pytest.mark.parametrize(("place", "word"), [("local", "torch.distributed.run"), ("slurm", "#SBATCH --mem=")])
def test_a_dry_run_prints_what_would_be_executed_and_starts_and_stores_nothing(
    crowdrun_home: Path, capfd: pytest.CaptureFixture[str], place: str, word: str
) -> None:
    assert crowdrun("--dry-run", "--no-predict", "--on", place, str(EXAMPLE)) == 0
    said = capfd.readouterr()
    assert word in said.out
    assert "plan: memory 6000 MB" in said.err
    assert not crowdrun_home.exists()


def test_a_store_that_cannot_be_used_does_not_lose_the_run(
    crowdrun_home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"not a database, " * 500)
    assert crowdrun("--no-predict", "--store", f"sqlite:///{broken}", *python("pass")) == 0
    assert "the outcome is not in the store" in capfd.readouterr().err
    assert len(list(crowdrun_home.glob("runs/*/outcome.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--time", "soon", "--", "true"], "--time: duration 'soon' is not a time"),
        (["--mem-mb", "-1", "--", "true"], "mem_mb is -1.0; it must be a number of 1 or more"),
        (["no-such.toml"], "cannot read the job file no-such.toml"),
        (["--", "no-such-program"], "there is no program 'no-such-program'"),
        ([], "there is no job; name a job file, a built-in task, a command after --, or --resume RUN"),
        (["--resume", "no-such-run"], "no-such-run: there is no such run; name a run by its id"),
        (["--resume", "a-run", "lenet"], "--resume a-run goes on with that run's own job; leave lenet out"),
        (["--ranks", "2", "--", "bash", "x.sh"], "'bash' cannot be run as several ranks"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_1(
    crowdrun_home: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert crowdrun("--no-predict", *arguments) == 1
    assert said in capfd.readouterr().err
