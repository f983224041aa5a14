"""Retrainings that the service starts: one at a time, each in a process of its own, its progress a file.

In a process of its own, because training needs scikit-learn, xgboost and torch, minutes and gigabytes, and the service
is to answer meanwhile as if nothing was going on. What is published is noticed like any other new model (`follow.py`).

The progress is a file, and that one runs is a lock on a file, which the process itself holds: so each worker of a
service tells the same, and a retraining whose service was killed is not taken for one that still goes on.
"""

import fcntl
import json
import logging
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import BusyError, OutputError
from crowdrun.data.settings import Settings

log = logging.getLogger("crowdrun.service")

#: After SIGTERM; a killed retraining leaves everything as it was.
GRACE_S = 5.0
#: The newest that are remembered.
KEPT = 50
State = Literal["running", "published", "kept", "failed"]


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """One retraining; times are UTC epoch seconds."""

    id: str
    #: `published`: a new model; `kept`: none was needed, or none was better; `failed`: `said` tells why.
    state: State
    started: float
    ended: float | None = None
    #: What is being done, and the share that is done.
    doing: str = "starting"
    share: float = 0.0
    model_id: str | None = None
    said: Sequence[str] = ()


class Retrainings:
    """The retrainings of one home folder. Safe to use from several threads and processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.home / "retrainings"
        self._stop = threading.Event()
        self._watching: threading.Thread | None = None

    def start(self, *, if_needed: bool = False, force: bool = False) -> Retraining:
        """Begin one, and return at once.

        Raises:
            BusyError: one is running.
            OutputError: its files cannot be written, or the process cannot be started.
        """
        started = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started))
        begun = Retraining(id=f"{stamp}-{secrets.token_hex(4)}", state="running", started=started)
        options = ["--if-needed"] * if_needed + ["--force"] * force
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "lock").open("a") as lock:
                self._lock(lock)
                process = self._process(begun.id, options, lock)
            self._write(begun)
        except OSError as error:
            raise OutputError(f"cannot start a retraining in {self._folder}: {error.strerror}") from error
        self._watching = threading.Thread(target=self._watch, args=(process, begun), name="retraining", daemon=True)
        self._watching.start()
        return begun

    def get(self, retraining_id: str) -> Retraining | None:
        """One that was started, with its progress; None: there is none of that id."""
        file = self._folder / f"{retraining_id}.json"
        if file not in self._files():
            return None
        told = Retraining(**_read(file))
        if told.state != "running":
            return told
        if not self._is_running():
            # Looked at again: it may have ended between the two looks.
            told = Retraining(**_read(file))
            gone = "its service was ended while it ran; the model in use stays"
            return replace(told, state="failed", said=(gone,)) if told.state == "running" else told
        return replace(told, **_read(file.with_suffix(".progress")))

    def newest(self) -> list[Retraining]:
        """The newest, newest first."""
        return [told for file in self._files()[::-1] if (told := self.get(file.stem))]

    def stop(self) -> None:
        """End the one that this process has started."""
        self._stop.set()
        if self._watching:
            self._watching.join()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _lock(self, lock: IO[str]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError("a retraining is running; wait for its end, GET /v1/retrain shows it") from error

    def _is_running(self) -> bool:
        if self._watching and self._watching.is_alive():
            # Its process may have ended; what came of it is being written.
            return True
        with (self._folder / "lock").open("a") as lock:
            try:
                self._lock(lock)
            except BusyError:
                return True
        return False

    def _process(self, retraining_id: str, options: Sequence[str], lock: IO[str]) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "crowdrun.api", "retrain", *options, "--json"]
        command += ["--progress", str(self._folder / f"{retraining_id}.progress")]
        command += ["--home", str(self._settings.home), "--store", self._settings.store]
        # The lock goes with the open file: it is held until the process ends, also when this one is killed before.
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[lock.fileno()]
        )

    def _watch(self, process: "subprocess.Popen[str]", begun: Retraining) -> None:
        ended = threading.Event()
        threading.Thread(target=self._end_with, args=(process, ended), daemon=True).start()
        with process:
            output, complaints = process.communicate()
        ended.set()
        done = replace(_outcome(begun, process.returncode, output, complaints), ended=time.time(), share=1.0)
        self._write(done)
        (self._folder / f"{done.id}.progress").unlink(missing_ok=True)
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        level = logging.ERROR if done.state == "failed" and not self._stop.is_set() else logging.INFO
        log.log(level, "retraining: %s", "; ".join([done.model_id or done.state, *done.said]))

    def _end_with(self, process: "subprocess.Popen[str]", ended: threading.Event) -> None:
        """End the process when the service ends."""
        while not ended.wait(0.1):
            if self._stop.is_set():
                process.terminate()
                if not ended.wait(GRACE_S):
                    process.kill()
                return

    def _write(self, told: Retraining) -> None:
        write_atomically(self._folder / f"{told.id}.json", json.dumps(asdict(told)).encode())


def _read(file: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    return told


def _outcome(begun: Retraining, status: int, output: str, complaints: str) -> Retraining:
    lines = complaints.splitlines()
    if status:
        return replace(begun, state="failed", doing="failed", said=lines[-5:] or [f"ended with {status}"])
    told = json.loads(output)
    why = [told["report"]["why"]] if told["needed"] else ["retraining is not needed", *told["triggers"]]
    state: State = "published" if told["id"] else "kept"
    return replace(begun, state=state, doing="done", model_id=told["id"], said=[*why, *lines])
