"""`crowdrun serve` as an operator sets it up: workers, TLS, a Unix socket; and `crowdrun token`."""

import os
import pwd
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner

from crowdrun.api.client import Client
from crowdrun.api.commands.serve import _environment
from crowdrun.api.commands.token import command as token
from crowdrun.api.serving.listen import listen_on_path
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.errors import ConfigError
from crowdrun.data.settings import Settings
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from tests.api.serving.test_serve import CROWDRUN, JOB, wait_for


@contextmanager
def serving_with(log: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server with these options, and its address; ended with SIGTERM."""
    command = [CROWDRUN, "serve", *options]
    with log.open("wb") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            wait_for(lambda: "Application startup complete" in log.read_text())
            yield process, log.read_text().partition("serves on ")[2].split()[0]
        finally:
            process.terminate()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, its key in the same file."""
    file = tmp_path / "site.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"]
    file.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return file


def test_over_tls_it_answers_to_who_checks_its_certificate(
    settings: Settings, certificate: Path, tmp_path: Path
) -> None:
    with serving_with(tmp_path / "log", "--port", "0", "--ssl-certfile", str(certificate)) as (_, address):
        assert address.startswith("https://")
        context = ssl.create_default_context(cafile=str(certificate))
        assert httpx.post(f"{address}/v1/predict", json=JOB, verify=context).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")


def test_on_a_unix_socket_the_kernel_tells_who_asks(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serving_with(tmp_path / "log", "--unix-socket", str(path), "--trust-local", "submit") as (process, address):
        assert address == f"unix://{path}"
        with httpx.Client(base_url="http://x", transport=httpx.HTTPTransport(uds=str(path))) as client:
            with Client(address) as program:
                assert program.model().id == registry.current_id(settings.models_dir)
            me = pwd.getpwuid(os.getuid()).pw_name
            assert client.post("/v1/predict", json={"user": me}).status_code == 200
            refused = client.post("/v1/predict", json={"user": f"{me}-not"})
            assert refused.status_code == 403
            assert repr(me) in refused.json()["detail"]
    assert process.returncode == 0
    assert not path.exists()


def test_a_socket_that_a_killed_service_left_is_taken_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listen_on_path(path).close()
    with listen_on_path(path), pytest.raises(ConfigError, match="a service listens there already"):
        listen_on_path(path)
    path.unlink()
    path.write_text("mine")
    with pytest.raises(ConfigError, match="something else than a socket"):
        listen_on_path(path)


def test_workers_share_the_port_models_and_figures_and_one_that_dies_is_replaced(
    settings: Settings, crowd: Crowd, tmp_path: Path
) -> None:
    with serving_with(tmp_path / "log", "--port", "0", "--workers", "2") as (process, address):
        wait_for(lambda: (tmp_path / "log").read_text().count("Application startup complete") == 2)

        def ask() -> httpx.Response:
            # A connection each, so that the kernel gives them to either.
            return httpx.post(f"{address}/v1/predict", json=JOB, timeout=60)

        assert {ask().status_code for _ in range(20)} == {200}
        told = httpx.get(f"{address}/metrics").text
        assert 'crowdrun_requests_total{method="POST",route="/v1/predict",status="200"} 20.0' in told
        new = registry.publish(crowd, settings.models_dir)
        wait_for(lambda: {ask().json()["model_id"] for _ in range(10)} == {new})
        workers = [one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
        assert len(workers) == 2
        workers[0].send_signal(signal.SIGKILL)
        wait_for(lambda: (tmp_path / "log").read_text().count("Application startup complete") == 3)
        assert ask().status_code == 200
    assert process.returncode == 0


def test_no_request_is_dropped_while_it_stops(settings: Settings, tmp_path: Path) -> None:
    with serving_with(tmp_path / "log", "--port", "0") as (process, address):
        url = httpx.URL(address)
        body = b'{"user": "user1"}'
        head = "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        connections = [socket.create_connection((url.host, url.port or 80)) for _ in range(10)]
        for connection in connections:
            connection.sendall(head.encode() + body[:-1])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        for connection in connections:
            connection.sendall(body[-1:])
        for connection in connections:
            assert connection.recv(20).startswith(b"HTTP/1.1 200")
            connection.close()
        assert process.wait(30) == 0


def test_the_products_of_a_prediction_are_not_shared_out_to_threads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    before = dict(os.environ)
    program = "import numpy, threadpoolctl; print([p['num_threads'] for p in threadpoolctl.threadpool_info()])"
    try:
        with _environment(settings, access_log=False, workers=1):
            told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert told.strip() == "[1]"


def test_without_tokens_and_trust_it_says_that_nobody_is_let_in(settings: Settings, tmp_path: Path) -> None:
    with serving_with(tmp_path / "log", "--port", "0", "--trust-local", "none") as (_, address):
        assert "crowdrun token create" in (tmp_path / "log").read_text()
        assert httpx.post(f"{address}/v1/predict", json=JOB).status_code == 401


def test_tokens_are_made_listed_and_revoked(settings: Settings) -> None:
    runner = CliRunner()
    made = runner.invoke(token, ["create", "ada", "--role", "operator", "--days", "2"])
    text = made.stdout.strip()
    found = TokenFile.of(settings).find(text)
    assert found is not None
    assert found.user == "ada"
    assert found.id in made.stderr
    assert "not shown again" in made.stderr
    listed = runner.invoke(token, ["list"]).stdout
    assert listed.startswith(f"{found.id}  operator  ada  made ")
    assert text not in listed + runner.invoke(token, ["list", "--json"]).stdout
    assert runner.invoke(token, ["revoke", found.id]).exit_code == 0
    assert TokenFile.of(settings).find(text) is None
    assert isinstance(runner.invoke(token, ["revoke", found.id]).exception, ConfigError)
