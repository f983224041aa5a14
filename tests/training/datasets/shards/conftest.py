"""A real HTTP server on the loopback interface that knows ranges, and drops connections when it is told to."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from crowdrun.training.datasets.shards.writing import write_shards

SAMPLES, EACH = 50, 8


def sample(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((3, 4), float(index)), torch.tensor(index)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fifty samples in seven shards."""
    place = tmp_path / "shards"
    write_shards((sample(index) for index in range(SAMPLES)), place, each=EACH)
    return place


class DroppingServer(ThreadingHTTPServer):
    """Serves a folder; of the requests for tar files, every `drop_every`-th ends in the middle."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, folder))
        self.drop_every = 0
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.folder = folder
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        assert isinstance(self.server, DroppingServer)
        file = self.folder / self.path.strip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        first, last = 0, len(content) - 1
        asked = self.headers.get("Range")
        if asked:
            first, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if not body:
            return
        part = content[first : last + 1]
        if file.suffix == ".tar":
            self.server.asked.append(file.name)
            if self.server.drop_every and len(self.server.asked) % self.server.drop_every == 0:
                self.wfile.write(part[: len(part) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
        self.wfile.write(part)


@pytest.fixture
def server(folder: Path) -> Iterator[DroppingServer]:
    """That folder over HTTP."""
    with DroppingServer(folder) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield serving
        finally:
            serving.shutdown()
            thread.join()
