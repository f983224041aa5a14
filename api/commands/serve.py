"""`crowdrun serve`: the REST service."""

import logging
import signal
import socket
import sys
from types import FrameType
from urllib.parse import urlsplit

import click
import uvicorn

from crowdrun.api.app import create_app
from crowdrun.api.options import settings_options
from crowdrun.data.errors import ConfigError
from crowdrun.data.settings import Settings

#: How long requests that are being answered may go on after SIGTERM.
GRACE_S = 10


@click.command()
@settings_options("home", "store", "url", "risk")
@click.option("--host", help="Address to listen on, instead of the host of --url.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, instead of that of --url; 0 takes a free one.")
def command(settings: Settings, host: str | None, port: int | None) -> None:
    """Serve predictions over REST until SIGTERM or Ctrl-C; requests that are being answered are finished first.

    There are no tokens and there is no TLS yet: whoever reaches the address may ask, and may send outcomes that the
    crowd learns from. The default is the loopback interface; keep it there, or put a proxy in front of it.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    address = urlsplit(settings.url)
    with _listen(host or address.hostname or "127.0.0.1", (address.port or 80) if port is None else port) as listening:
        config = uvicorn.Config(
            create_app(settings), log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S
        )
        # uvicorn stops gracefully on SIGTERM and raises the signal once more at the end: that is then a clean exit.
        signal.signal(signal.SIGTERM, _exit)
        name, bound_port = listening.getsockname()[:2]
        click.echo(f"crowdrun serves on http://{f'[{name}]' if ':' in name else name}:{bound_port}", err=True)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
        # asyncio does this for sockets that it makes; without it each answer waits 40 ms for a delayed ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}; choose another with --port") from error


def _exit(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(0)
