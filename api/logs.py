"""What the service logs, one JSON object a line, each with the id of the request that it belongs to."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from crowdrun.api.request_id import request_id

_FIELDS = {"asctime": "time", "levelname": "level", "name": "logger"}


class _WithRequest(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id()
        return True


def log_as_json(*, access: bool) -> None:
    """Log on standard error; with `access` every request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_WithRequest())
    handler.setFormatter(
        JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s", rename_fields=_FIELDS)
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("crowdrun.access").setLevel(logging.DEBUG if access else logging.INFO)
