"""Every command of README.md's `sh` blocks is run, so that what a new user copies works.

A block runs as one bash script, in a folder that looks like the checkout, with a home of its own. A command that
takes long, or needs more than this test has, is run by another test, which EXECUTED_ELSEWHERE names.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
THIS_SUITE = "this suite"
#: Command as the README writes it -> FILE::TEST that runs it, or THIS_SUITE.
EXECUTED_ELSEWHERE: dict[str, str] = {
    "make test": THIS_SUITE,
    "make demo": "tests/repository/test_demo.py::test_make_demo_goes_round_the_whole_loop",
}
#: A command that needs longer on an idle machine has a test of its own.
BLOCK_TIMEOUT_S = 600


def sh_blocks(text: str) -> list[str]:
    """The content of the fenced blocks that are marked `sh`.

    >>> sh_blocks("a\\n```sh\\nmake test\\n```\\n```toml\\nx = 1\\n```\\n")
    ['make test\\n']
    """
    return re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """The commands of a block: comments and empty lines out, lines that go on with a backslash joined."""
    lines = [line.strip() for line in block.replace("\\\n", "").splitlines()]
    return [re.sub(r"\s+#\s.*$", "", line) for line in lines if line and not line.startswith("#")]


BLOCKS = sh_blocks((ROOT / "README.md").read_text("utf-8"))
COMMANDS = [command for block in BLOCKS for command in commands(block)]


def run_script(script: str, folder: Path) -> tuple[int, str]:
    """Exit status and output; whatever the script left running in its process group is ended."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "CROWDRUN_HOME": str(folder / "crowdrun-home"),
    }
    output = folder / "output.txt"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(BLOCK_TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):  # when nothing was left
                os.killpg(process.pid, signal.SIGKILL)
    return status, output.read_text("utf-8", errors="replace")


def is_running(process: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.timeout(BLOCK_TIMEOUT_S + 30)
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_commands_of_a_block_work(block: str, checkout: Path) -> None:
    here = [command for command in commands(block) if command not in EXECUTED_ELSEWHERE]
    status, output = run_script("\n".join(here), checkout)
    assert status == 0, f"{here}\n{output[-4000:]}"


def test_the_readme_tells_how_to_see_it_work_and_how_to_test_it() -> None:
    assert {"make demo", "make test"} <= set(COMMANDS)


def test_every_command_that_is_run_elsewhere_is_in_the_readme() -> None:
    assert not EXECUTED_ELSEWHERE.keys() - set(COMMANDS)


@pytest.mark.parametrize("place", sorted(set(EXECUTED_ELSEWHERE.values()) - {THIS_SUITE}))
def test_the_test_that_runs_a_command_is_there(place: str) -> None:
    file, _, name = place.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text("utf-8")


def test_a_failing_command_fails_its_block(tmp_path: Path) -> None:
    status, output = run_script("echo first\nls no-such-file\necho never", tmp_path)
    assert status != 0
    assert "first" in output
    assert "never" not in output


def test_what_a_block_leaves_running_is_ended(tmp_path: Path) -> None:
    status, _ = run_script("sleep 1000 & echo $! > left", tmp_path)
    assert status == 0
    process = int((tmp_path / "left").read_text())
    deadline = time.monotonic() + 30
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(process)
