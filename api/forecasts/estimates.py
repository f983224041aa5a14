"""Forecasts of GPU memory for the service: one process that traces, those who wait for it, and what it said before.

The process is started when it is first needed, stays warm, is replaced after some requests, and ends after a while
without any. It is killed when a trace takes too long or nobody waits for it any more.
"""

import json
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from crowdrun.api.forecasts.estimate_worker import READY
from crowdrun.api.forecasts.known_networks import known_network
from crowdrun.api.schemas.estimate import EstimateBody
from crowdrun.api.serving.metrics import REFUSED
from crowdrun.data import errors
from crowdrun.data.description.model import KnownModel, ModelDescription
from crowdrun.data.errors import BusyError, CrowdrunError, ForecastError, NotInstalledError, TooLongError
from crowdrun.data.forecast import STRATEGIES

#: Who waits for their turn at most, answers that are remembered, and requests that one process answers.
MOST_WAITING, MOST_REMEMBERED, MOST_ANSWERED = 8, 256, 200
#: Without a request the process ends, s; how often a wait looks whether it is still wanted, s.
IDLE_S, LOOK_S = 300.0, 0.1
#: Where a trace waits for the processor: as many of its limits it may take by the clock.
WALL_LIMITS = 2.0


class Estimates:
    """Answers of one service. Safe to call from several threads."""

    def __init__(self, *, trace_s: float, risk: float, correction: Path | None = None) -> None:
        """trace_s: seconds of a processor for one trace; risk: that a card turns out too small, where none is named;
        correction: a file of what was learned of the cards."""
        self._trace_s, self._risk, self._correction = trace_s, risk, correction
        self._turn = threading.Lock()
        self._waiting = 0
        self._count = threading.Lock()
        self._process: _Process | None = None
        self._remembered: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._idle: threading.Timer | None = None

    def ask(self, body: EstimateBody, gone: threading.Event, until: float) -> dict[str, Any]:
        """The answer (`EstimateAnswer`).

        gone: set when nobody waits for it any more; until: when to give up waiting, seconds of `time.monotonic`.

        Raises:
            DescriptionError, ForecastError: the model cannot be built or traced.
            NotInstalledError: torch is not there.
            BusyError: others are before this one, or the process is still starting.
            TooLongError: the trace takes longer than it may.
        """
        _check(body)
        asked = self._with_risk(body).model_dump_json()
        if (known := self._known(asked)) is not None:
            return known
        if find_spec("torch") is None:
            raise NotInstalledError("forecasts of GPU memory need torch where the service runs: pip install torch")
        with self._turn_of(gone, until):
            if (known := self._known(asked)) is None:
                known = self._traced(asked, gone, until)
                self._remember(asked, known)
            return known

    def stop(self) -> None:
        """End the process."""
        if self._idle:
            self._idle.cancel()
        if self._process:
            self._process.kill()
            self._process = None

    def _with_risk(self, body: EstimateBody) -> EstimateBody:
        if body.fit is None or body.fit.risk is not None:
            return body
        return body.model_copy(update={"fit": body.fit.model_copy(update={"risk": self._risk})})

    def _known(self, asked: str) -> dict[str, Any] | None:
        with self._count:
            known = self._remembered.get(asked)
            if known is not None:
                self._remembered.move_to_end(asked)
            return known

    def _remember(self, asked: str, told: dict[str, Any]) -> None:
        with self._count:
            self._remembered[asked] = told
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)

    @contextmanager
    def _turn_of(self, gone: threading.Event, until: float) -> Iterator[None]:
        with self._count:
            if self._waiting >= MOST_WAITING:
                REFUSED.labels("estimates").inc()
                raise BusyError(f"{MOST_WAITING} forecasts wait already; try again later", retry_after_s=10.0)
            self._waiting += 1
        try:
            while not self._turn.acquire(timeout=LOOK_S):
                _still_wanted(gone, until)
        finally:
            with self._count:
                self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()

    def _traced(self, asked: str, gone: threading.Event, until: float) -> dict[str, Any]:
        if self._idle:
            self._idle.cancel()
        process = self._fit_process()
        process.wait_until_ready(gone, until)
        try:
            told = process.ask(asked, gone, self._trace_s)
        except BaseException:
            self._process = None
            process.kill()
            raise
        self._idle = threading.Timer(IDLE_S, self._rest)
        self._idle.daemon = True
        self._idle.start()
        if "error" in told:
            kind = getattr(errors, told["error"], CrowdrunError)
            raise kind(told["message"])
        answer: dict[str, Any] = told["answer"]
        return answer

    def _fit_process(self) -> "_Process":
        if self._process and not self._process.is_fit:
            self._process.kill()
            self._process = None
        if self._process is None:
            self._process = _Process(self._correction)
        return self._process

    def _rest(self) -> None:
        if self._turn.acquire(blocking=False):
            try:
                if self._process:
                    self._process.kill()
                    self._process = None
            finally:
                self._turn.release()


def _check(body: EstimateBody) -> None:
    """What can be seen without torch."""
    if isinstance(body.model, ModelDescription):
        body.model.follow()
    elif isinstance(body.model, KnownModel):
        known_network(body.model)
    if body.strategy == "single" and body.world_size > 1:
        ways = ", ".join(STRATEGIES[1:])
        raise errors.DescriptionError(
            f"world_size is {body.world_size} and strategy is 'single'; over several GPUs it must be one of {ways}"
        )


def _still_wanted(gone: threading.Event, until: float, why: str = "other forecasts are before this one") -> None:
    if gone.is_set():
        raise BusyError("nobody waits for this forecast any more")
    if time.monotonic() > until:
        REFUSED.labels("estimates").inc()
        raise BusyError(f"{why}; try again later", retry_after_s=10.0)


class _Process:
    """One process of `estimate_worker.py`."""

    def __init__(self, correction: Path | None) -> None:
        command = [
            sys.executable,
            "-m",
            "crowdrun.api.forecasts.estimate_worker",
            *([str(correction)] if correction else []),
        ]
        self._popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self._answered, self._is_ready, self._read = 0, False, b""

    @property
    def is_fit(self) -> bool:
        """Whether it can be asked once more."""
        return self._popen.poll() is None and self._answered < MOST_ANSWERED

    def wait_until_ready(self, gone: threading.Event, until: float) -> None:
        """It goes on starting when this gives up; the next one who asks finds it further on."""
        while not self._is_ready:
            _still_wanted(gone, until, "the process that traces is still starting")
            line = self._line(LOOK_S)
            self._is_ready = line == READY
            if line == b"":
                raise CrowdrunError("the process that traces ended before it was ready; `crowdrun estimate` says why")

    def ask(self, asked: str, gone: threading.Event, limit_s: float) -> dict[str, Any]:
        """What it says."""
        began_s, until = self._processor_s(), time.monotonic() + WALL_LIMITS * limit_s
        self._answered += 1
        self._popen.stdin.write(asked.encode() + b"\n")  # type: ignore[union-attr]
        while (line := self._line(LOOK_S)) is None:
            if gone.is_set():
                raise BusyError("nobody waits for this forecast any more")
            if self._processor_s() - began_s > limit_s:
                REFUSED.labels("time").inc()
                raise TooLongError(
                    f"the trace takes longer than {limit_s:g} s of a processor; ask for fewer layers, leave out `fit`, "
                    "or run `crowdrun estimate` yourself"
                )
            if time.monotonic() > until:
                REFUSED.labels("time").inc()
                raise BusyError("the machine of the service is too busy for this forecast", retry_after_s=30.0)
        if not line:
            raise ForecastError("the process that traces was ended, most likely for want of memory; ask for less")
        told: dict[str, Any] = json.loads(line)
        return told

    def _processor_s(self) -> float:
        try:
            used = psutil.Process(self._popen.pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(used.user + used.system)

    def kill(self) -> None:
        """At once, and wait until it is gone."""
        self._popen.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            pipe.close()  # type: ignore[union-attr]
        self._popen.wait()

    def _line(self, limit_s: float) -> bytes | None:
        """The next line; None: not yet; empty: there is none to come."""
        if b"\n" not in self._read:
            if not select.select([self._popen.stdout.fileno()], [], [], limit_s)[0]:  # type: ignore[union-attr]
                return None
            part = self._popen.stdout.read(1 << 16)  # type: ignore[union-attr]
            self._read += part
            if not part:
                return b""
        line, sign, rest = self._read.partition(b"\n")
        if not sign:
            return None
        self._read = rest
        return line + sign
