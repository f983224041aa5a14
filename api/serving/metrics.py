"""What Prometheus reads at /metrics. No user, job or token is in it.

With several workers each has its own figures, in files of one folder (`PROMETHEUS_MULTIPROC_DIR`, which `crowdrun
serve` sets before they start), and whichever worker is asked adds them up.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_OWN = CollectorRegistry()
ProcessCollector(registry=_OWN)

REQUESTS = Counter("crowdrun_requests", "Requests that were answered", ["method", "route", "status"], registry=_OWN)
SECONDS = Histogram(
    "crowdrun_request_seconds",
    "From the request's head to the answer's end",
    ["route"],
    buckets=_SECONDS,
    registry=_OWN,
)
IN_FLIGHT = Gauge("crowdrun_requests_in_flight", "Requests being answered", registry=_OWN, multiprocess_mode="livesum")
PREDICTED = Counter("crowdrun_predictions", "Jobs that were asked about", registry=_OWN)
ABSTAINED = Counter("crowdrun_abstentions", "Jobs of which nothing could be said", registry=_OWN)
OUTCOMES = Counter("crowdrun_outcomes", "Jobs whose end was told and new", registry=_OWN)
REFUSED = Counter("crowdrun_refused", "Requests over a limit", ["limit"], registry=_OWN)
SWAPS = Counter("crowdrun_model_swaps", "Models that were taken into use", registry=_OWN)
MODEL_MADE = Gauge(
    "crowdrun_model_made_seconds", "When the model in use was made, epoch seconds", registry=_OWN,
    multiprocess_mode="livemin",
)  # fmt: skip


def exposition() -> bytes:
    """All figures in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(_OWN)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
