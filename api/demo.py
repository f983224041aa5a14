"""The steps of `crowdrun demo`: the whole loop on a real log, each step the command that a user would type."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from rich.console import Console

from crowdrun.data.errors import LaunchError
from crowdrun.data.settings import load_settings
from crowdrun.data.store import JobStore

#: How long the service may take to answer for the first time, s.
SERVICE_START_S = 60.0
#: What the user of the demonstration asks for, MB and s: far too much.
ASKED_MEM_MB = 6000
ASKED_TIME_S = 1800
#: And accepts: torch as it is installed here may hold a third more than the build that the log's jobs ran with.
RISK = 0.01

JOB_FILE = f"""\
# The job of the demonstration: a small residual network on scikit-learn's digits, by two data-parallel ranks.
name = "digits"
task = "crowdrun.training.models.digits"
model = "digits-resnet"
ranks = 2
epochs = 20
batch_size = 64
optimizer = "adamw"
learning_rate = 2e-3
precision = "fp32"

[resources]
mem_mb = {ASKED_MEM_MB}
timelimit_s = {ASKED_TIME_S}

[options]
channels = 32
blocks = 5
"""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the loop came to."""

    report: Path
    model_id: str
    recommended_mem_mb: float
    used_mem_mb: float
    run_time_s: float
    test_accuracy: float
    known_before: int
    known_after: int
    seconds: float


class Demo:
    """One demonstration in a folder of its own."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.environment = {**os.environ, "CROWDRUN_HOME": str(folder), "OMP_NUM_THREADS": "1"}
        self.environment.pop("CROWDRUN_STORE", None)

    def run(self) -> Figures:
        """The loop, from the log to the prediction to the run and back to the log.

        Raises:
            LaunchError: a step failed; says which.
        """
        began = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        report = self.folder / "backtest"
        with as_file(files("crowdrun.data.samples") / "training-jobs.sacct.xz") as log:
            self.step("A real log: jobs that ran under Slurm", "inspect", str(log), "--format", "sacct")
            self.step("Into the job history", "ingest", str(log), "--format", "sacct")
            self.step(
                "Replayed in time order: how good would the crowd have been?",
                "backtest", str(log), "--format", "sacct", "--out", str(report),
            )  # fmt: skip
        self.step("The crowd, trained on the history and published", "retrain")
        self.environment["CROWDRUN_RISK"] = str(RISK)
        job_file = self.folder / "digits.toml"
        job_file.write_text(JOB_FILE, "utf-8")
        with self.service() as url:
            known_before = self.known()
            asked = {
                "job_name": "digits", "req_cpus": 2, "req_mem_mb": ASKED_MEM_MB, "timelimit_s": ASKED_TIME_S,
                "submit_time": time.time(),
            }  # fmt: skip
            self.heading(
                "A job is about to be submitted: what does it need?", f"POST {url}/v1/predict {json.dumps(asked)}"
            )
            answer = ask(f"{url}/v1/predict", asked)
            for reason in answer["reasons"]:
                self.console.print(f"  {reason}", highlight=False)
            record_file = self.folder / "run.json"
            self.step("Run with what was recommended, and measured", "run", str(job_file), "--json", str(record_file))
            record = json.loads(record_file.read_text("utf-8"))
            known_after = self.known()
        last = record["attempts"][-1]
        return Figures(
            report=report / "report.html", model_id=str(answer["model_id"]),
            recommended_mem_mb=answer["predictions"]["mem_mb"]["safe"], used_mem_mb=last["outcome"]["peak_mem_mb"],
            run_time_s=last["outcome"]["end_time"] - last["outcome"]["start_time"],
            test_accuracy=record["result"]["scores"]["accuracy"], known_before=known_before, known_after=known_after,
            seconds=time.monotonic() - began,
        )  # fmt: skip

    def heading(self, what: str, command: str) -> None:
        self.console.print(f"\n[bold]{what}[/bold]")
        self.console.print(f"$ {command}", style="cyan", highlight=False)

    def step(self, what: str, *arguments: str) -> None:
        """One subcommand of crowdrun, its output shown."""
        self.heading(what, " ".join(["crowdrun", *arguments]))
        status = subprocess.run(self._command(arguments), env=self.environment, check=False).returncode
        if status:
            raise LaunchError(f"crowdrun {arguments[0]} ended with status {status}; its own message is above")

    @contextmanager
    def service(self) -> Iterator[str]:
        """The REST service on a free port of the loopback interface; gives its address."""
        log_file = self.folder / "service.log"
        self.heading("The service", "crowdrun serve --port 0 --trust-local operator")
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                self._command(["serve", "--host", "127.0.0.1", "--port", "0", "--trust-local", "operator"]),
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            url = self._wait_for(process, log_file)
            self.console.print(f"  serves on {url}, documents itself on {url}/docs", highlight=False)
            yield url
        finally:
            process.terminate()
            process.wait()

    def known(self) -> int:
        """How many jobs the history holds."""
        with JobStore.open(load_settings(environment=self.environment).store) as store:
            return store.count()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "crowdrun.api", *arguments]

    def _wait_for(self, process: "subprocess.Popen[bytes]", log_file: Path) -> str:
        deadline = time.monotonic() + SERVICE_START_S
        while time.monotonic() < deadline and process.poll() is None:
            for word in log_file.read_text("utf-8").split():
                if word.startswith("http://") and self._ready(word):
                    return word
            time.sleep(0.1)
        raise LaunchError(f"the service did not start; it said: {log_file.read_text('utf-8')[-500:]}")

    def _ready(self, url: str) -> bool:
        try:
            ask(f"{url}/readyz")
        except (URLError, OSError):
            return False
        return True


def ask(url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """GET, or POST of JSON, to our own service; the answer's JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310 - our own loopback service
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        content: dict[str, Any] = json.load(answer)
        return content
