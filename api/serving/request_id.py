"""The id of the request that is being answered: in the answer's header, and in every line that is logged meanwhile."""

import re
import secrets
from contextvars import ContextVar

REQUEST_ID = "X-Request-ID"
#: What is taken from a caller: nothing that could break a line of a log.
_SOUND = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def begin_request(given: bytes | None) -> str:
    """Take the caller's own id where there is a sound one, else make one; from now on it is that of this request."""
    sound = given is not None and _SOUND.fullmatch(given)
    new = given.decode() if given and sound else secrets.token_hex(8)
    _current.set(new)
    return new


def request_id() -> str:
    """The id, or nothing outside of a request."""
    return _current.get()
