"""The command-line filter of a site: put into place and taken away, and what it does in the real sbatch."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crowdrun.api.slurm import filter as site_filter
from crowdrun.data.errors import ConfigError, OutputError

OTHER = "function slurm_cli_pre_submit() return 0 end -- of the site\n"
LUA = pytest.mark.skipif(
    not any(map(site_filter.shutil.which, site_filter.COMPILERS)), reason="there is no Lua compiler"
)


@LUA
def test_it_comes_and_goes_and_nothing_but_a_harmless_filter_is_left(tmp_path: Path) -> None:
    said = site_filter.install(tmp_path, replace=False)
    target = tmp_path / "cli_filter.lua"
    assert said[0] == f"{target} is in place"
    assert f'CSBATCH = "{tmp_path}/crowdrun-csbatch"' in target.read_text()
    assert os.access(tmp_path / "crowdrun-csbatch", os.X_OK)
    assert target.stat().st_mode & 0o777 == 0o644
    assert list((tmp_path / "__pycache__").iterdir())
    site_filter.install(tmp_path, replace=False)
    site_filter.remove(tmp_path)
    assert "does nothing" in target.read_text()
    assert not [path for path in tmp_path.iterdir() if path not in (target, tmp_path / "__pycache__")]


@LUA
def test_another_filter_is_not_touched_unless_it_is_asked_for_and_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "cli_filter.lua"
    target.write_text(OTHER)
    with pytest.raises(ConfigError, match=r"is another filter; --replace keeps it"):
        site_filter.install(tmp_path, replace=False)
    assert target.read_text() == OTHER
    site_filter.install(tmp_path, replace=True)
    # Again, as for a new version: what was kept is not lost.
    site_filter.install(tmp_path, replace=True)
    assert site_filter.is_ours(target)
    assert site_filter.remove(tmp_path) == [f"{target} is what it was before"]
    assert target.read_text() == OTHER
    with pytest.raises(ConfigError, match="no filter of crowdrun"):
        site_filter.remove(tmp_path)


@LUA
def test_what_does_not_parse_is_never_put_into_place(tmp_path: Path) -> None:
    site_filter.install(tmp_path, replace=False)
    before = (tmp_path / "cli_filter.lua").read_text()
    (tmp_path / "cli_filter.lua.before-crowdrun").write_text("function end\n")
    with pytest.raises(ConfigError, match=r"does not parse, and nothing was changed: .*luac"):
        site_filter.remove(tmp_path)
    assert (tmp_path / "cli_filter.lua").read_text() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".unfinished")]


def test_without_a_compiler_nothing_is_put_into_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match=r"luac5\.1, luac-5\.1, luac is on the PATH"):
        site_filter.install(tmp_path, replace=False)
    assert not list(tmp_path.iterdir())


@LUA
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write to /proc"):
        site_filter.install(Path("/proc"), replace=False)
    odd = tmp_path / 'a"quote'
    odd.mkdir()
    with pytest.raises(ConfigError, match="cannot hold"):
        site_filter.install(odd, replace=False)


@pytest.fixture
def filtered(slurm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The filter in the real cluster; what was there comes back afterwards. A folder with a job.sh."""
    folder = site_filter.slurm_folder()
    if not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} cannot be written")
    (tmp_path / "job.sh").write_text("#!/bin/sh\n#SBATCH --mem=400M -t 9 --gres=gpu:4\nhostname\n")
    monkeypatch.chdir(tmp_path)
    # One cluster has one filter, and tests of other processes may want it.
    with (folder / "filter-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        site_filter.install(folder, replace=True)
        yield tmp_path
        site_filter.remove(folder)


def held(*arguments: str) -> tuple[str, str]:
    """The job as scontrol shows it, and what sbatch said."""
    done = subprocess.run(["sbatch", "-H", "--parsable", *arguments], stdin=-3, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    job_id = done.stdout.strip()
    shown = subprocess.run(["scontrol", "show", "job", "-o", job_id], capture_output=True, text=True).stdout
    subprocess.run(["scancel", job_id], check=True)
    return shown, done.stderr


ANSWER = {
    "line": "a line", "mem_mb": 200.0, "time_s": 330.0, "gpus": 1,
    "asked": {"nodes": 1, "cpus": 1, "mem_mb": 400.0, "gpus": 4},
}  # fmt: skip


@pytest.mark.slurm
def test_plain_sbatch_says_the_line_and_submits_as_written(filtered: Path, answering: Any) -> None:
    answering.answers(ANSWER)
    shown, said = held("job.sh", "it's", "two words")
    assert said == "crowdrun: a line\n"
    assert "TimeLimit=00:09:00" in shown
    assert "MinMemoryNode=400M" in shown
    asked = answering.asked()
    assert asked["options"] == {"mem": "400", "time": "00:09:00", "gres": "gpu:4", "hold": "set", "parsable": "set"}
    assert (asked["script"], asked["command"]) == ("job.sh", "sbatch -H --parsable job.sh it's two words")


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("job.sh",), ("TimeLimit=00:06:00", "MinMemoryNode=200M", "TresPerNode=gres:gpu:1")),
        (("--mem-per-cpu=400M", "--gpus=4", "--wrap=hostname"), ("MinMemoryCPU=200M", "TresPerJob=gres:gpu:1")),
        (("--gpus-per-node=4", "--wrap=torchrun --nproc_per_node=2 a.py"), ("TresPerNode=gres:gpu:2",)),
        (("--mem=300M", ":", "--wrap=hostname"), ("MinMemoryNode=300M",)),
    ],
)
def test_it_sets_what_the_site_wants_set(
    arguments: tuple[str, ...],
    expected: tuple[str, ...],
    filtered: Path,
    answering: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering.answers(ANSWER)
    monkeypatch.setenv("CROWDRUN_MODE", "apply")
    shown, said = held(*arguments)
    for part in expected:
        assert part in shown, said


@pytest.mark.slurm
@pytest.mark.parametrize("trouble", ["refused", "rubbish", "no program", "a program that fails"])
def test_whatever_goes_wrong_sbatch_goes_on(
    trouble: str, filtered: Path, answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWDRUN_MODE", "apply")
    program = site_filter.slurm_folder() / site_filter.PROGRAM_FILE
    if trouble == "refused":
        monkeypatch.setenv("CROWDRUN_URL", "http://127.0.0.1:9")
    elif trouble == "rubbish":
        answering.sends(b"rubbish")
    elif trouble == "no program":
        program.unlink()
    else:
        program.write_text("#!/bin/sh\necho mem 0\necho no-such-option 1\necho '; os.exit()'\nexit 3\n")
    shown, said = held("job.sh")
    assert "TimeLimit=00:09:00" in shown
    assert len(said.splitlines()) <= 1


@pytest.mark.slurm
def test_steps_of_a_job_are_not_asked_about(filtered: Path, answering: Any) -> None:
    answering.answers(ANSWER)
    assert subprocess.run(["srun", "-n1", "-t1", "true"], capture_output=True).stderr == b""
    assert not answering.heard
