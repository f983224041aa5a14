"""What csbatch adds to sbatch: the real sbatch with and without it, interleaved, the service up, on a real Slurm.

python -m tests.bench sbatch
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa

from crowdrun.api import sbatch
from crowdrun.data import store_follow
from crowdrun.data.settings import load_settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from tests.bench.cluster_log import make_jobs

RUNS = 200
JOBS = 1_500
PYTHON = "/usr/bin/python3"
#: The goal: milliseconds, and times the start of an empty Python.
MOST_MS, MOST_TIMES = 20.0, 2.2
Row = tuple[str, list[str], Mapping[str, str]]


@contextmanager
def _service(folder: Path) -> Iterator[str]:
    """The address of a service of another process, with a crowd that was trained on a synthetic log."""
    settings = load_settings(environment={"CROWDRUN_HOME": str(folder)})
    jobs = make_jobs(JOBS)
    jobs.loc[jobs["user"] == jobs["user"].mode()[0], "user"] = getpass.getuser()
    with JobStore.open(settings.store) as store:
        store.add(pa.Table.from_pandas(jobs, preserve_index=False), source="bench")
        position = store_follow.position(store)
    registry.publish(Crowd.train(jobs, seed=0), settings.models_dir, store_position=position)
    command = [
        sys.executable,
        "-m",
        "crowdrun.api",
        "serve",
        "--home",
        str(folder),
        "--port",
        "0",
        "--trust-local",
        "submit",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            yield next(line.split()[-1] for line in process.stderr if "serves on" in line)
        finally:
            process.terminate()


@contextmanager
def _at_once() -> Iterator[str]:
    """The address of a service that has its answer ready: what is left is csbatch's own part."""
    answer = (
        b'{"line": "a line", "mem_mb": 90.0, "time_s": 240.0, "gpus": null, "asked": {"nodes": 1, "mem_mb": 100.0}}'
    )

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _rows(folder: Path, urls: Mapping[str, str]) -> list[Row]:
    """What is compared: name, command, environment."""
    copies = [folder / "installed" / "csbatch", folder / "uncompiled" / "csbatch"]
    for copy in copies:
        copy.parent.mkdir()
        shutil.copy(sbatch.__file__, copy)
        copy.chmod(0o755)
    subprocess.run([str(copies[0]), "--version"], capture_output=True, check=True)
    # A file where the folder of compiled forms would be.
    (copies[1].parent / "__pycache__").touch()
    submit = ["--hold", "-o", "/dev/null", "-J", "bench", "--mem=100M", "-t5", str(folder / "job.sh")]
    up, at_once, down, hung = ({"CROWDRUN_URL": urls[name]} for name in ("the crowd", "at once", "nobody", "silence"))
    return [
        ("`true`", ["true"], {}),
        ("`python3 -I -S -c pass`", [PYTHON, "-I", "-S", "-c", "pass"], {}),
        ("sbatch", ["sbatch", *submit], {}),
        ("csbatch", [str(copies[0]), *submit], up),
        ("csbatch --crowd=apply", [str(copies[0]), "--crowd=apply", *submit], up),
        ("csbatch, uncompiled", [str(copies[1]), *submit], up),
        ("csbatch, answered at once", [str(copies[0]), *submit], at_once),
        ("csbatch --crowd=apply, answered at once", [str(copies[0]), "--crowd=apply", *submit], at_once),
        ("csbatch, the service down", [str(copies[0]), *submit], down),
        ("csbatch, the service hung", [str(copies[0]), *submit], hung),
    ]


def _measure(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Name -> (RUNS,) milliseconds; each round runs every row once, since the machine's speed wanders."""
    times: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    for number in range(RUNS):
        for name, command, variables in rows:
            environment = {**os.environ, "CROWDRUN_LIMIT_MS": "300", **variables}
            begun = time.perf_counter()
            done = subprocess.run(command, capture_output=True, env=environment, check=False)
            times[name].append((time.perf_counter() - begun) * 1000)
            if done.returncode != 0:
                raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr.decode()}")
        if number % 20 == 19:
            subprocess.run(["scancel", "--name=bench"], check=True)
    return {name: np.array(values) for name, values in times.items()}


def main() -> str:
    """A table: median and 99th percentile of each, and what csbatch adds; or why there is none."""
    if not shutil.which("sbatch") or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        return "## csbatch\n\nnot measured: no Slurm answers"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.sh").write_text("#!/bin/sh\nhostname\n")
        # The last accepts, and never answers.
        silent = socket.create_server(("127.0.0.1", 0), backlog=RUNS + 1)
        with _service(folder / "home") as crowd, _at_once() as at_once, silent:
            silence = f"http://127.0.0.1:{silent.getsockname()[1]}"
            urls = {"the crowd": crowd, "at once": at_once, "nobody": "http://127.0.0.1:9", "silence": silence}
            times = _measure(_rows(folder, urls))
    plain, python = (float(np.median(times[name])) for name in ("sbatch", "`python3 -I -S -c pass`"))
    lines = [
        "## csbatch",
        "",
        f"{RUNS} runs each, interleaved, milliseconds; each submits a held job to the real Slurm. "
        f"Goal for what csbatch adds in the median: at most {MOST_MS:g} ms, and {MOST_TIMES:g} times an empty Python.",
        "",
        "| | median | p99 | added to sbatch, median | times an empty Python |",
        "|---|---|---|---|---|",
    ]
    for row, values in times.items():
        median, p99 = np.percentile(values, (50, 99))
        added = median - plain
        more = f"{added:.1f} | {added / python:.2f}" if row.startswith("csbatch") else " | "
        lines.append(f"| {row} | {median:.1f} | {p99:.1f} | {more} |")
    return "\n".join(lines)
