"""A service that answers as a test wants it to, and an sbatch that writes down what it was given."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

#: Stands where sbatch is and writes down what it was given; its status and output are odd on purpose.
_RECORDER = """#!/bin/sh
printf '%s\\n' "$@" > "$RECORD.arguments"
cat > "$RECORD.stdin"
echo "Submitted batch job 7"
exit 3
"""


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on the PATH with the recording sbatch, and a job.sh here; returns where it writes."""
    (tmp_path / "job.sh").write_text("#!/bin/sh\n#SBATCH --mem=16G\nhostname\n")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(_RECORDER)
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("CROWDRUN_URL", "http://127.0.0.1:9")
    return tmp_path / "record"


class Crowd:
    """A service on a real socket; tests say what it does with a connection, or what it answers."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.respond: Callable[[socket.socket], object] = lambda connection: None
        self.heard: list[bytes] = []

    def answers(self, answer: object, status: int = 200) -> None:
        """Answer each question with this as JSON."""
        self.sends(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n\r\n%s" % (status, json.dumps(answer).encode()))

    def sends(self, text: bytes) -> None:
        """Answer each question with these bytes."""

        def respond(connection: socket.socket) -> None:
            self.heard.append(_whole_request(connection))
            connection.sendall(text)

        self.respond = respond

    def asked(self) -> Any:
        """The last question."""
        return json.loads(self.heard[-1].partition(b"\r\n\r\n")[2])

    def serve(self) -> None:
        """Until the socket is shut."""
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection, suppress(OSError):
                    self.respond(connection)


def _whole_request(connection: socket.socket) -> bytes:
    text = b""
    while (part := connection.recv(65536)) and b"\r\n\r\n" not in (text := text + part):
        pass
    head, _, body = text.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:"))
    while len(body) < length and (part := connection.recv(65536)):
        body += part
    return head + b"\r\n\r\n" + body


@contextmanager
def _serving(listening: socket.socket) -> Iterator[Crowd]:
    crowd = Crowd(listening)
    thread = threading.Thread(target=crowd.serve)
    thread.start()
    try:
        yield crowd
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but the test's own, and time enough: the limit has tests of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CROWDRUN_SITE_CONFIG", str(tmp_path / "site.conf"))
    monkeypatch.setenv("CROWDRUN_LIMIT_MS", "10000")
    for variable in ("MODE", "RETRY", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"CROWDRUN_{variable}", raising=False)


@pytest.fixture
def answering(settled: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    """A service at CROWDRUN_URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    with _serving(listening) as crowd:
        monkeypatch.setenv("CROWDRUN_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        yield crowd


@pytest.fixture
def answering_on_a_path(settled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    """A service at a Unix socket, which CROWDRUN_URL names."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "crowd.sock"))
    listening.listen()
    with _serving(listening) as crowd:
        monkeypatch.setenv("CROWDRUN_URL", f"unix://{tmp_path}/crowd.sock")
        yield crowd
