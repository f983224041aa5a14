"""Who is at the other end of a Unix socket: the kernel knows (`SO_PEERCRED`, `man 7 unix`), and cannot be lied to."""

import asyncio
import socket
import struct
from typing import Any

from starlette.types import Scope

from crowdrun.api.serving.head_limit import HeadLimitProtocol

_KIND = "uid"
#: struct ucred: pid, uid, gid.
_CREDENTIALS = struct.Struct("3i")


class PeerProtocol(HeadLimitProtocol):
    """uvicorn's protocol; on a Unix socket the scope's client is `("uid", UID)`, where it would be nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection: Any = transport.get_extra_info("socket")
        if connection is not None and connection.family == socket.AF_UNIX:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(credentials)
            self.client = (_KIND, uid)


def uid_of(scope: Scope) -> int | None:
    """The user id of who connected to the Unix socket; None where it came another way."""
    client = scope.get("client")
    return client[1] if client and client[0] == _KIND else None
