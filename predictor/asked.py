"""A request with what every target looks at, worked out once."""

from crowdrun.data.job import JobRequest
from crowdrun.data.queue_state import Queue
from crowdrun.predictor.features import category_row, request_row
from crowdrun.predictor.history import Key, keys_of
from crowdrun.predictor.items import place_of


class Asked:
    """One job that is asked about; `queue` is what waits and runs as it is submitted, None where nobody looked."""

    __slots__ = ("categories", "keys", "place", "queue", "request", "row")

    def __init__(self, request: JobRequest, queue: Queue | None = None) -> None:
        self.request = request
        self.queue = queue
        self.keys: tuple[Key | None, ...] = keys_of(request)
        self.place = place_of(request)
        self.row = request_row(request)
        self.categories = category_row(request)
