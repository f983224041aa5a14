"""The socket that the service listens on: a TCP port, or a Unix socket."""

import os
import socket
import stat
from pathlib import Path

from crowdrun.data.errors import ConfigError

BACKLOG = 2048
#: Who may connect to a Unix socket: everybody who can reach its folder; what they may do is settled by `auth.py`.
_MODE = 0o666


def listen_on_port(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one.

    Raises:
        ConfigError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # asyncio does this for sockets that it makes; without it each answer waits 40 ms for a delayed ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}; choose another with --port") from error


def listen_on_path(path: Path) -> socket.socket:
    """A listening Unix socket; one that a killed service left behind is replaced.

    Raises:
        ConfigError: it cannot be had, or a service listens there.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_over(path)
        listening.bind(str(path))
        os.chmod(path, _MODE)  # noqa: PTH101 - as `bind`, on the name
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(f"cannot listen on {path}: {error.strerror or error}; choose another path") from error
    return listening


def _remove_left_over(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(None, "it is something else than a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(None, "a service listens there already")


def shown(listening: socket.socket, *, tls: bool) -> str:
    """The address, as clients write it."""
    if listening.family == socket.AF_UNIX:
        return f"unix://{Path(listening.getsockname()).absolute()}"
    name, port = listening.getsockname()[:2]
    return f"http{'s' * tls}://{f'[{name}]' if ':' in name else name}:{port}"
