"""The lines of the README that begin with `$` are run too: the service, and those that ask it.

They are shown with what they answer, so a block of them is no script. Each is run as it is written, but for what
differs from reader to reader: the address is that of a service on a free port, and the token is the one just made.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.repository.test_readme import ROOT, run_script

SHOWN = re.findall(r"^\$ (.*?)(?:\s+#\s.*)?$", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE)
SERVE, ASK, TOKEN, REMOTE, SUBMIT = SHOWN
#: What the README says of a service elsewhere.
ELSEWHERE, LOCAL = "https://crowdrun.example", "http://127.0.0.1:8642"
TAUGHT = "crowdrun ingest data/samples/training-jobs.sacct.xz && crowdrun retrain"


def test_the_readme_shows_the_service_how_to_ask_it_and_how_to_submit() -> None:
    starts = ("crowdrun serve", f"curl {LOCAL}", "crowdrun token create", "CROWDRUN_TOKEN=", "csbatch ")
    for command, start in zip(SHOWN, starts, strict=True):
        assert command.startswith(start)


@pytest.fixture(scope="module")
def served(checkout: Path) -> Iterator[tuple[Path, str]]:
    """The folder of the README's commands, with a model that learnt the sample log, and the address of its service."""
    if not (checkout / "crowdrun-home" / "models" / "current").exists():
        status, output = run_script(TAUGHT, checkout)
        assert status == 0, output
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(checkout),
        "CROWDRUN_HOME": str(checkout / "crowdrun-home"),
        "CROWDRUN_URL": address,
    }
    # Not what the test suite sets for itself: who is let in is for the command to say.
    for variable in ("CROWDRUN_TRUST_LOCAL", "CROWDRUN_RATE_PER_S"):
        environment.pop(variable, None)
    log = checkout / "serve.log"
    with log.open("wb") as output, subprocess.Popen(shlex.split(SERVE), env=environment, stderr=output) as process:
        try:
            wait_until_ready(address, log)
            yield checkout, address
        finally:
            process.terminate()


def wait_until_ready(address: str, log: Path) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(log.read_text("utf-8"))


def run_shown(command: str, served: tuple[Path, str], token: str = "") -> tuple[int, str]:
    """The command with the address of this service and this token, and whose service `csbatch` asks."""
    folder, address = served
    here = command.replace(ELSEWHERE, address).replace(LOCAL, address).replace("crowdrun_...", token)
    return run_script(f"export CROWDRUN_URL={address}\n{here}", folder)


@pytest.mark.timeout(600)
def test_the_service_answers_curl_and_a_token_s_holder(served: tuple[Path, str]) -> None:
    status, output = run_shown(f"{ASK} --silent --show-error", served)
    assert status == 0, output
    answer = json.loads(output)
    assert answer["predictions"]["mem_mb"]["safe"] > 0
    assert any("the same user and name" in reason for reason in answer["reasons"])

    status, output = run_shown(f"{TOKEN} 2>/dev/null", served)
    assert status == 0, output
    # It is ada who holds that token and types this.
    status, output = run_shown(f"export LOGNAME=ada\n{REMOTE}", served, output.strip())
    assert status == 0, output
    assert "no ended job" in output or "host memory" in output


@pytest.mark.slurm
@pytest.mark.timeout(600)
def test_csbatch_submits_to_slurm_and_says_what_it_set(slurm: str, served: tuple[Path, str]) -> None:
    folder, _ = served
    (folder / "digits.sh").write_text("#!/bin/sh\n#SBATCH --mem=5000M --time=30 --output=/dev/null\nsleep 1\n")
    status, output = run_shown(SUBMIT, served)
    jobs = re.findall(r"Submitted batch job (\d+)|\(job (\d+)\)", output)
    try:
        assert status == 0, output
        assert re.search(r"^Submitted batch job \d+$", output, flags=re.MULTILINE)
        assert "asked 4.9G, similar jobs used" in output
        assert "set --mem=" in output
        assert "after an out-of-memory end it is tried with" in output
    finally:
        subprocess.run(["scancel", *(number for pair in jobs for number in pair if number)], check=True)
