"""What the routes share: the store, the model that answers, and the retrainings."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from crowdrun.api.forecasts.card import device_model
from crowdrun.api.forecasts.estimates import Estimates
from crowdrun.api.serving.batches import Batches
from crowdrun.api.serving.follow import Follower
from crowdrun.api.serving.live_model import LiveModel
from crowdrun.api.serving.retrainings import Retrainings
from crowdrun.api.serving.schedule import Schedule
from crowdrun.api.serving.together import Together
from crowdrun.data import store_follow
from crowdrun.data.errors import RequestError
from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.data.queue_state import Queue
from crowdrun.data.settings import Settings
from crowdrun.data.store import AddReport
from crowdrun.data.store_open import open_store
from crowdrun.predictor.persistence import registry

#: What the store notes as the origin of jobs that came over REST.
SOURCE = "rest"
#: Jobs that the model learns from while their sender waits.
LEARN_AT_ONCE = 100
#: Jobs that are explained in one request: each costs as much as ten others.
EXPLAIN_LIMIT = 100


class Service:
    """Recommends and records, between the start and the end of `running`. Safe to call from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.retrainings = Retrainings(settings)
        #: For one job of each of many that ask at once, and for many jobs of one.
        self.together, self.batches = Together(self), Batches()
        self.estimates = Estimates(trace_s=settings.time_limit_s, risk=settings.risk, correction=settings.correction)
        #: Says the whole card for what a forecast says of torch's allocator.
        self.device_model = device_model(settings.correction)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Open the store, follow the current model, and retrain where the settings say so.

        Raises:
            StoreError: the store cannot be opened.
        """
        with open_store(self.settings) as self.store:
            self._follower = Follower(self.settings.models_dir, self.store)
            schedule = Schedule(self.retrainings, self.settings.retrain_every_s)
            try:
                with self._follower.running(), schedule.running():
                    yield
            finally:
                self.retrainings.stop()
                self.estimates.stop()

    @property
    def model(self) -> LiveModel:
        """The model that answers.

        Raises:
            ModelError: none is loaded; says why and what to do.
        """
        return self._follower.get()

    def figures(self, live: LiveModel) -> Mapping[str, Any]:
        """Target -> how good a model was in its rehearsal, for REST and for pages (`evaluation/model_figures.py`).

        Raises:
            ModelError: its folder is gone, or cannot be read.
        """
        return registry.read_figures(self.settings.models_dir, live.model_id)

    def recommend(
        self,
        requests: Sequence[JobRequest],
        risk: float | None = None,
        queues: Sequence[Queue | None] | None = None,
        *,
        explained: bool = False,
        until: float | None = None,
    ) -> list[Recommendation]:
        """One recommendation a request, in order, at the service's own risk unless another is given.

        queues: what waits and runs as each job is submitted; None where nobody looked.
        until: when to give up (`end_of_request`); None: when a request that came now would have to.

        Raises:
            ModelError: no model is loaded.
            RequestError: more requests than are explained at once.
            BusyError: it takes longer than a request may.
        """
        if explained and len(requests) > EXPLAIN_LIMIT:
            raise RequestError(
                f"explain is for at most {EXPLAIN_LIMIT} jobs at once, got {len(requests)}; send fewer or leave it out"
            )
        return self.model.recommend(
            requests, risk or self.settings.risk, queues, explained=explained, until=until or self.end_of_request()
        )

    def end_of_request(self) -> float:
        """When a request that comes now must be answered, seconds of `time.monotonic`."""
        return time.monotonic() + self.settings.time_limit_s

    def end_of_estimate(self) -> float:
        """The same of a forecast of GPU memory, but for the trace itself."""
        return time.monotonic() + self.settings.time_limit_s

    def recommend_now(
        self, requests: Sequence[JobRequest], risk: float | None, queues: Sequence[Queue | None]
    ) -> list[Recommendation] | None:
        """`recommend` for a few jobs, in the thread of all connections; None where it would have to wait.

        Raises:
            ModelError: no model is loaded.
        """
        return self.model.recommend_now(requests, risk or self.settings.risk, queues)

    def record(self, jobs: Sequence[Mapping[str, Any]]) -> AddReport:
        """Store jobs that ended. The model learns from a few before this returns, from many in the background.

        Without a model the jobs are stored all the same, for `crowdrun retrain`.

        Raises:
            StoreError: nothing was stored.
        """
        report = self.store.add_rows(jobs, source=SOURCE)
        if report.new <= LEARN_AT_ONCE:
            self._follower.learn()
        return report

    def activate(self, model_id: str) -> None:
        """Make a published model the current one; this process answers with it from now on, others within a second.

        Raises:
            ModelError: there is no such model, or it is damaged; the current one stays.
        """
        registry.activate(self.settings.models_dir, model_id)
        self._follower.look_now()

    def check(self) -> None:
        """Say nothing when the service can predict and store.

        Raises:
            ModelError, StoreError: what keeps it from that.
        """
        self._follower.get()
        store_follow.position(self.store)
