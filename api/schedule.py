"""The service's own schedule: `crowdrun retrain --if-needed` every so often, in a process of its own.

In a process of its own, because training needs scikit-learn, xgboost and torch, minutes and gigabytes, and the service
is to answer meanwhile as if nothing was going on. What is published is noticed like any other new model (`follow.py`).
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from crowdrun.api.background import background
from crowdrun.data.settings import Settings

log = logging.getLogger("crowdrun.service")

#: After SIGTERM; a killed retraining leaves everything as it was.
GRACE_S = 5.0


class Schedule:
    """Retrains every `retrain_every_s` seconds, 0 for never, as long as the context lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the clock; the first retraining comes when it has run down once."""
        if not self._settings.retrain_every_s:
            yield
            return
        with background(self._run, self._stop, "schedule"):
            yield

    def _run(self) -> None:
        while not self._stop.wait(self._settings.retrain_every_s):
            try:
                self._retrain()
            except OSError as error:
                log.error("cannot start a retraining: %s", error)

    def _retrain(self) -> None:
        command = [sys.executable, "-m", "crowdrun.api", "retrain", "--if-needed"]
        command += ["--home", str(self._settings.home), "--store", self._settings.store]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            ended = threading.Event()
            threading.Thread(target=self._end_with, args=(process, ended), daemon=True).start()
            output, _ = process.communicate()
            ended.set()
        level = logging.ERROR if process.returncode and not self._stop.is_set() else logging.INFO
        log.log(level, "retraining: %s", "; ".join(output.splitlines()) or f"ended with {process.returncode}")

    def _end_with(self, process: "subprocess.Popen[str]", ended: threading.Event) -> None:
        """End the process when the service ends."""
        while not ended.wait(0.1):
            if self._stop.is_set():
                process.terminate()
                if not ended.wait(GRACE_S):
                    process.kill()
                return
