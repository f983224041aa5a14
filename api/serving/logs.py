"""What the service logs, one JSON object a line, each with the id of the request that it belongs to."""

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from crowdrun.api.serving.request_id import request_id

#: uvicorn sends each message twice, the second time with the colours of a terminal.
_LEFT_OUT = [*RESERVED_ATTRS, "color_message"]


class _WithRequest(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if own_id := request_id():
            record.request_id = own_id
        return True


def log_as_json(*, access: bool) -> None:
    """Log on standard error; with `access` every request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_WithRequest())
    names = {"levelname": "level", "name": "logger"}
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(message)s", rename_fields=names, timestamp=True, reserved_attrs=_LEFT_OUT
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("crowdrun.access").setLevel(logging.DEBUG if access else logging.INFO)
