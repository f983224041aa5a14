"""`crowdrun serve`: the REST service."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from crowdrun.api.options import settings_options
from crowdrun.api.serving.listen import listen_on_path, listen_on_port, shown
from crowdrun.api.serving.peer import PeerProtocol
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.errors import ConfigError
from crowdrun.data.settings import SETTINGS, Settings

#: How long requests that are being answered may go on after SIGTERM.
GRACE_S = 10
#: For the workers, as the settings are.
ACCESS_LOG = "CROWDRUN_ACCESS_LOG"
_FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@settings_options(
    "home", "store", "url", "risk", "trust_local", "rate_per_s", "time_limit_s", "pseudonymise", "correction"
)
@click.option("--host", help="Address to listen on, instead of the host of --url.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, instead of that of --url; 0 takes a free one.")
@click.option("--unix-socket", type=click.Path(path_type=Path), help="Listen on this Unix socket instead of a port.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@click.option("--ssl-certfile", type=_FILE, help="Certificate (PEM), with those above it: serve over TLS.")
@click.option("--ssl-keyfile", type=_FILE, help="The certificate's key (PEM), where it is not in the same file.")
@click.option("--proxy", metavar="ADDRESSES", help="Of proxies, with commas: whose X-Forwarded-For is believed.")
@click.option("--access-log", is_flag=True, help="Log every request, not only those that went badly or took long.")
def command(
    settings: Settings,
    host: str | None,
    port: int | None,
    unix_socket: Path | None,
    workers: int,
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
    proxy: str | None,
    access_log: bool,
) -> None:
    """Serve predictions over REST until SIGTERM or Ctrl-C; requests that are being answered are finished first.

    Who asks needs a token (`crowdrun token create`). `--trust-local ROLE` gives a role to whoever asks from this
    machine without one: over the loopback interface, where nobody knows who it is, or over the Unix socket, where the
    kernel tells the user.

    \b
    crowdrun serve --trust-local admin                                       # on your own machine
    crowdrun serve --unix-socket /run/crowdrun.sock --trust-local submit     # on a login node
    crowdrun serve --host 0.0.0.0 --ssl-certfile site.pem --workers 2        # for a cluster, with tokens
    """
    if ssl_keyfile and not ssl_certfile:
        raise ConfigError("--ssl-keyfile without --ssl-certfile; name the certificate as well")
    with _listen(settings, host, port, unix_socket) as listening, _environment(settings, access_log, workers):
        config = uvicorn.Config(
            "crowdrun.api.app:app_of_worker",
            factory=True,
            http=PeerProtocol,
            workers=workers,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=proxy is not None,
            forwarded_allow_ips=proxy,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
        )
        _announce(settings, listening, tls=ssl_certfile is not None)
        _serve(config, listening)


def _serve(config: uvicorn.Config, listening: socket.socket) -> None:
    if config.workers > 1:
        # The supervisor starts a worker again that died.
        Multiprocess(config, sockets=[listening]).run()
        return
    # uvicorn stops gracefully on SIGTERM and raises the signal once more at the end: that is then a clean exit.
    signal.signal(signal.SIGTERM, _exit)
    uvicorn.Server(config).run(sockets=[listening])


def _announce(settings: Settings, listening: socket.socket, *, tls: bool) -> None:
    if settings.trust_local is None and not TokenFile.of(settings).list():
        click.echo(
            "crowdrun: there is no token yet, so nobody is let in: make one with 'crowdrun token create', or let in "
            "who asks from this machine with --trust-local",
            err=True,
        )
    click.echo(f"crowdrun serves on {shown(listening, tls=tls)}", err=True)


@contextmanager
def _listen(settings: Settings, host: str | None, port: int | None, path: Path | None) -> Iterator[socket.socket]:
    address = urlsplit(settings.url)
    if path is not None and (host is not None or port is not None):
        raise ConfigError("--unix-socket and --host or --port; a service listens on one of them")
    if path is None and host is None and port is None and address.scheme == "unix":
        path = Path(address.path)
    if path is not None:
        with listen_on_path(path) as listening:
            try:
                yield listening
            finally:
                path.unlink(missing_ok=True)
        return
    wanted = (address.port or 80) if port is None else port
    with listen_on_port(host or address.hostname or "127.0.0.1", wanted) as listening:
        yield listening


@contextmanager
def _environment(settings: Settings, access_log: bool, workers: int) -> Iterator[None]:
    """What worker processes find their settings in; and the folder where they put their figures together."""
    for setting in SETTINGS:
        if setting.name != "traces":
            value = getattr(settings, setting.name)
            # Said also where it is the default: the environment or a file may say otherwise.
            os.environ[setting.variable] = "none" if value is None else str(value)
    os.environ[ACCESS_LOG] = str(int(access_log))
    # One product of a prediction is too small to share: threads that wait for each other take several times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="crowdrun-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def _exit(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(0)
