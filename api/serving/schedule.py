"""The service's own schedule: `crowdrun retrain --if-needed` every so often."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from crowdrun.api.serving.background import background
from crowdrun.api.serving.retrainings import Retrainings
from crowdrun.data.errors import BusyError, OutputError

log = logging.getLogger("crowdrun.service")


class Schedule:
    """Retrains every `every_s` seconds, 0 for never, as long as the context lasts."""

    def __init__(self, retrainings: Retrainings, every_s: float) -> None:
        self._retrainings, self._every_s = retrainings, every_s
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the clock; the first retraining comes when it has run down once."""
        if not self._every_s:
            yield
            return
        with background(self._run, self._stop, "schedule"):
            yield

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._retrainings.start(if_needed=True)
            except BusyError:
                log.debug("a retraining is running already, of this worker, of another one or asked for")
            except OutputError as error:
                log.error("%s", error)
