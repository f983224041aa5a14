"""What ended in the real Slurm comes into the job history once, whatever happens in between."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from crowdrun.api.slurm.collect import collect
from crowdrun.api.slurm.collect_state import STATE_FILE, CollectState
from crowdrun.data.errors import ConfigError, LogError
from crowdrun.data.settings import Settings, load_settings
from crowdrun.data.store import JobStore


@pytest.fixture
def settings(crowdrun_home: Path) -> Settings:
    crowdrun_home.mkdir()
    return load_settings()


def run_job(*arguments: str) -> str:
    """Run a job to its end, and until the accounting database knows of it."""
    command = ["sbatch", "--parsable", "--wait", "-t1", "--mem=50M", "-o/dev/null", *arguments]
    job_id = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    for _ in range(200):
        told = subprocess.run(["sacct", "-nXPj", job_id, "-oState,End"], capture_output=True, text=True).stdout
        if re.match(r"(COMPLETED|FAILED)\|\d", told):
            # A question by time finds it a second or two after one by its number.
            time.sleep(3)
            return job_id
        time.sleep(0.1)
    pytest.fail(f"sacct does not know how {job_id} ended")


def stored(settings: Settings, job_id: str) -> list[dict[str, object]]:
    with JobStore.open(settings.store) as store:
        return store.get(job_id)


@pytest.mark.slurm
def test_a_job_comes_once_with_what_it_asked_for_and_did(slurm: str, settings: Settings) -> None:
    before = time.time() - 60
    job_id = run_job("-J", "a|b", "--comment=x", "--wrap", "sleep 2; echo 'one|two'\nexit 3")
    first = collect(settings, since=before, trust_units=True)
    assert first.new >= 1
    [job] = stored(settings, job_id)
    assert (job["state"], job["exit_code"], job["req_mem_mb"], job["job_name"]) == ("FAILED", "3:0", 50.0, "a|b")
    assert "--wrap sleep 2; echo 'one|two'\nexit 3" in str(job["command"])
    assert abs(float(str(job["end_time"])) - time.time()) < 120
    # The hour before is read again, and what a cluster did in it before this test comes with it.
    again = collect(settings, trust_units=True)
    assert again.since == pytest.approx(first.until - 3600, abs=1)
    last = collect(settings, trust_units=True)
    assert (last.new, last.jobs_in_store) == (0, again.jobs_in_store)
    assert stored(settings, job_id) == [job]


@pytest.mark.slurm
def test_what_still_waits_and_the_gates_of_retries_are_left_out(slurm: str, settings: Settings) -> None:
    before = time.time() - 60
    gate = run_job("-J", "crowdrun-gate", "--wrap", "true")
    job_id = run_job("--wrap", "true")
    command = ["sbatch", "--parsable", "-t1", "-o/dev/null", "--wrap", "sleep 60"]
    running = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    try:
        # A question by time may find a job many seconds after one by its number, on a busy machine.
        for _ in range(30):
            collect(settings, since=before, trust_units=True)
            if stored(settings, job_id):
                break
            time.sleep(1)
        assert stored(settings, job_id)
        assert not stored(settings, gate)
        assert not stored(settings, running)
    finally:
        subprocess.run(["scancel", running], check=True)


@pytest.mark.slurm
def test_stopped_at_any_moment_it_goes_on_where_it_was(slurm: str, settings: Settings) -> None:
    job_id = run_job("--wrap", "true")
    command = ["crowdrun", "slurm", "collect"]
    for after_s in (0.2, 0.8, 1.4, 2.0, 2.6):
        process = subprocess.Popen(command, stdout=-3, stderr=-3)
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert len(stored(settings, job_id)) == 1
    again = collect(settings, trust_units=True)
    # What was cancelled before may end only now: that is new, and all else is known.
    assert again.jobs_in_store == last["jobs_in_store"] + again.new
    assert len(stored(settings, job_id)) == 1
    assert CollectState.read(settings.home).until == pytest.approx(time.time(), abs=60)


@pytest.mark.slurm
def test_while_the_database_is_down_nothing_is_lost(
    slurm: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout
    file = re.search(r"^SLURM_CONF\s*=\s*(\S+)", shown, re.MULTILINE)
    assert file
    collect(settings, since=time.time() - 60, trust_units=True)
    job_id = run_job("--wrap", "true")
    with monkeypatch.context() as down:
        # The same cluster with its database at a port where nobody listens, which is how sacct sees one that is down.
        text = re.sub(r"(?m)^AccountingStoragePort=.*$", "AccountingStoragePort=9", Path(file[1]).read_text())
        (tmp_path / "slurm.conf").write_text(text)
        down.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
        state = CollectState.read(settings.home)
        with pytest.raises(LogError, match=r"sacct failed: .*; nothing is lost, collect again when slurmdbd answers"):
            collect(settings, trust_units=True)
        assert CollectState.read(settings.home) == state
    collect(settings, trust_units=True)
    assert stored(settings, job_id)


def test_without_slurm_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LogError, match="there is no sacct on the PATH"):
        collect(settings, trust_units=True)


def test_a_state_that_is_damaged_is_named(settings: Settings) -> None:
    (settings.home / STATE_FILE).write_text('{"until": ')
    with pytest.raises(ConfigError, match=rf"{STATE_FILE}: .*; delete it"):
        collect(settings, trust_units=True)
