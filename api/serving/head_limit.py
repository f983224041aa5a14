"""How long, and how large, the head of a request may be; uvicorn waits for it as long as a sender likes.

The clock runs from the moment when a connection is made, or when the first byte of another request comes, to the end of
the head. Between two requests uvicorn's own limit holds (`timeout_keep_alive`), and from the head on `time_limit.py`.
"""

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crowdrun.api.serving.metrics import REFUSED
from crowdrun.api.serving.problems import MEDIA_TYPE

HEAD_S = 10.0
#: What browsers send with all their cookies is a quarter of that.
HEAD_BYTES = 64 * 1024


class HeadLimitProtocol(HttpToolsProtocol):
    """uvicorn's protocol; 408 for a head that does not come in time, 431 for one that is too large."""

    _clock: asyncio.TimerHandle | None = None
    _is_awaited = True
    _read = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Of blank lines before a request the parser says nothing: they are no reason to wait for longer either.
        if self._is_awaited and not self.transport.is_closing():
            self._read += len(data)
            if self._read > HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head is larger than {HEAD_BYTES} bytes")
            elif self._clock is None:
                self._start()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_awaited = True

    def on_headers_complete(self) -> None:
        self._stop()
        self._is_awaited, self._read = False, 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._is_awaited = True

    def _start(self) -> None:
        detail = f"the head of the request did not come within {HEAD_S:g} s"
        self._clock = self.loop.call_later(HEAD_S, self._refuse, HTTPStatus.REQUEST_TIMEOUT, detail)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._stop()
        if self.transport.is_closing():
            return
        REFUSED.labels("head").inc()
        # Where an earlier request of the connection is still being answered, nothing may stand before its answer.
        if self.cycle is None or self.cycle.response_complete:
            content = json.dumps({"title": status.phrase, "status": status, "detail": detail})
            head = (
                f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write((head + content).encode())
        self.transport.close()
