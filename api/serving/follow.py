"""Keeps the service up to date: another model that becomes current, and jobs that end, within a second."""

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crowdrun.api.serving import memory
from crowdrun.api.serving.background import background
from crowdrun.api.serving.live_model import LiveModel
from crowdrun.api.serving.metrics import MODEL_MADE, SWAPS
from crowdrun.data.errors import CrowdrunError, ModelError
from crowdrun.data.store import JobStore
from crowdrun.predictor.persistence import registry

log = logging.getLogger("crowdrun.service")

#: How often the name of the current model and the store are looked at.
INTERVAL_S = 1.0
#: How long somebody who asked for a look waits for it.
LOOK_S = 20.0


class Follower:
    """Holds the model that answers. A request never waits for a load: a thread of its own does that.

    A model that is damaged is refused with a line in the log, and the one in use stays.
    """

    def __init__(self, models_dir: Path, store: JobStore) -> None:
        self._models_dir, self._store = models_dir, store
        self._live: LiveModel | None = None
        self._trouble = "no model has been loaded yet; try again in a moment"
        self._complaint = ""
        self._seen: object = object()
        self._stop = threading.Event()
        self._asked: queue.SimpleQueue[threading.Event] = queue.SimpleQueue()

    def get(self) -> LiveModel:
        """The model that answers.

        Raises:
            ModelError: there is none yet; says why and what to do.
        """
        live = self._live
        if live is None:
            raise ModelError(self._trouble)
        return live

    @contextmanager
    def running(self) -> Iterator[None]:
        """Load the current model, and follow as long as the context lasts; what it missed it learns meanwhile."""
        self.look()
        with background(self._run, self._stop, "follow"):
            try:
                yield
            finally:
                self._stop.set()
                self._asked.put(threading.Event())

    def learn(self) -> None:
        """Let the model learn from the jobs that ended; if the store cannot be read, the next look catches up."""
        try:
            if self._live:
                self._live.learn(self._store)
            self._complaint = ""
        except CrowdrunError as error:
            # Once, not every second for as long as the store is away.
            if str(error) != self._complaint:
                log.error("%s", error)
            self._complaint = str(error)

    def look(self) -> None:
        """Load the current model if it is not the one in use."""
        mark = self._mark()
        if mark == self._seen:
            return
        self._seen = mark
        try:
            # The one in use is good; only a service that has none goes back to an earlier one.
            live = (
                LiveModel(self._models_dir, registry.current_id(self._models_dir), self._store.pseudonyms)
                if self._live
                else LiveModel.current(self._models_dir, log.error, self._store.pseudonyms)
            )
            if self._live:
                # The one in use goes on answering until the new one knows what it knows.
                live.learn(self._store)
        except CrowdrunError as error:
            self._trouble = str(error)
            kept = f"; model {self._live.model_id} stays in use" if self._live else ""
            log.error("%s%s", error, kept)
            return
        self._live = live
        memory.give_back()
        SWAPS.inc()
        MODEL_MADE.set(live.manifest.made_at)
        log.info("model %s is in use", live.model_id)

    def look_now(self) -> None:
        """Have the thread that follows look at once, and wait until it has, but not for long.

        All models are loaded by that one thread: the allocator keeps what was freed for the thread that freed it, and
        loads by many threads would each hold on to as much memory as a model takes.
        """
        looked = threading.Event()
        self._asked.put(looked)
        looked.wait(LOOK_S)

    def _mark(self) -> object:
        """Changes whenever `current` is written: the file is replaced, so its inode or its time differs."""
        try:
            status = (self._models_dir / registry.CURRENT).stat()
        except OSError as error:
            return error.errno
        return status.st_ino, status.st_mtime_ns

    def _run(self) -> None:
        asked: list[threading.Event] = []
        while True:
            try:
                self.look()
                self.learn()
            except Exception:
                # The thread must live on: without it no other model would ever be noticed.
                log.exception("the follower failed; it goes on")
            for looked in asked:
                looked.set()
            asked = self._next()
            if self._stop.is_set():
                return

    def _next(self) -> list[threading.Event]:
        """Who asked for a look, once somebody has or it is time."""
        try:
            return [self._asked.get(timeout=INTERVAL_S)]
        except queue.Empty:
            return []
