"""A load generator, in a process of its own: each connection sends the next request when the answer is there.

    echo '{"host": "127.0.0.1", "port": 8642, "connections": 16, "seconds": 5, "path": "/healthz"}' |
        python -m tests.bench.load

Prints JSON: `statuses` (status -> count; "lost" for connections that broke), `latencies_ms` quantiles, `per_s`. It
speaks as much HTTP as our own service does (keep-alive, Content-Length): a client library would be slower than the
server.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop


@dataclass(kw_only=True)
class Load:
    """What is sent, and what came of it."""

    host: str
    port: int
    connections: int
    seconds: float
    path: str
    #: POST of this JSON; None: GET.
    body: Any = None
    statuses: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    def request(self) -> bytes:
        content = b"" if self.body is None else json.dumps(self.body).encode()
        head = f"{'GET' if self.body is None else 'POST'} {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        if content:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        return head.encode() + b"\r\n" + content

    async def run(self) -> dict[str, Any]:
        began = time.perf_counter()
        await asyncio.gather(*(self._connection(began + self.seconds) for _ in range(self.connections)))
        taken = time.perf_counter() - began
        quantiles = np.quantile(self.latencies_s or [np.nan], [0.5, 0.99, 1.0]) * 1e3
        told = dict(zip(("p50", "p99", "max"), quantiles.round(3).tolist(), strict=True))
        return {"statuses": self.statuses, "latencies_ms": told, "per_s": len(self.latencies_s) / taken}

    async def _connection(self, until: float) -> None:
        request = self.request()
        while time.perf_counter() < until:
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port, limit=2**26)
                try:
                    await self._talk(reader, writer, request, until)
                finally:
                    writer.close()
            except (OSError, asyncio.IncompleteReadError):
                self.statuses["lost"] += 1

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, until: float
    ) -> None:
        while (began := time.perf_counter()) < until:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            self.latencies_s.append(time.perf_counter() - began)
            self.statuses[head[9:12].decode()] += 1


def _length(head: bytes) -> int:
    place = head.lower().index(b"content-length:") + len(b"content-length:")
    return int(head[place : head.index(b"\r", place)])


if __name__ == "__main__":
    print(json.dumps(uvloop.run(Load(**json.load(sys.stdin)).run())))
