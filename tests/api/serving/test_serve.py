"""`crowdrun serve` as a real process."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry

CROWDRUN = str(Path(sys.executable).parent / "crowdrun")
JOB = {"user": "user1", "job_name": "trainb-999", "req_mem_mb": 16384}


@contextmanager
def serve(log: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """A server on a free port, its log in a file, and a client for it; ended with SIGTERM."""
    with log.open("wb") as output, subprocess.Popen([CROWDRUN, "serve", "--port", "0"], stderr=output) as process:
        try:
            wait_for(lambda: "serves on" in log.read_text())
            address = next(line for line in log.read_text().splitlines() if "serves on" in line).split()[-1]
            with httpx.Client(base_url=address, timeout=60) as client:
                wait_for(lambda: answers(client))
                yield process, client
        finally:
            process.terminate()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; the test's own time limit ends it if it never does."""
    while not condition():
        time.sleep(0.05)


def test_it_predicts_without_any_training_library_and_stops_cleanly(settings: Settings, tmp_path: Path) -> None:
    with serve(tmp_path / "log") as (process, client):
        assert client.post("/v1/predict", json=JOB).json()["predictions"]["mem_mb"]["safe"] > 0
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        for library in ("/torch/", "/sklearn/", "/xgboost/"):
            assert library not in mapped
    assert process.returncode == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_it_loads_xgboost_when_an_explanation_is_asked_for_and_no_other_training_library(
    settings: Settings, tmp_path: Path
) -> None:
    with serve(tmp_path / "log") as (process, client):
        answer = client.post("/v1/predict", params={"explain": True}, json=JOB).json()
        assert answer["predictions"]["mem_mb"]["explanation"]["levels"]
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        assert "/xgboost/" in mapped
        assert "/torch/" not in mapped


def test_a_new_model_is_taken_up_and_a_damaged_one_refused_while_the_last_good_serves(
    settings: Settings, crowd: Crowd, tmp_path: Path
) -> None:
    def serving_now() -> str:
        return str(client.post("/v1/predict", json=JOB).json()["model_id"])

    with serve(tmp_path / "log") as (_, client):
        first = registry.current_id(settings.models_dir)
        assert serving_now() == first
        second = registry.publish(crowd, settings.models_dir)
        wait_for(lambda: serving_now() == second)
        folder = settings.models_dir / first
        damaged = next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json")
        content = damaged.read_bytes()
        damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        # As somebody would do who copies files by hand: `activate` itself refuses a damaged model.
        (settings.models_dir / registry.CURRENT).write_text(first)
        wait_for(lambda: f"{damaged.name} was changed" in (tmp_path / "log").read_text())
        assert f"model {second} stays in use" in (tmp_path / "log").read_text()
        assert serving_now() == second
        assert client.get("/readyz").status_code == 200
        damaged.write_bytes(content)
        registry.activate(settings.models_dir, first)
        wait_for(lambda: serving_now() == first)


def test_a_request_that_is_being_answered_is_finished_after_sigterm(settings: Settings, tmp_path: Path) -> None:
    with serve(tmp_path / "log") as (process, client):
        host, port = client.base_url.host, client.base_url.port or 80
        body = b"[" + b",".join([b'{"user":"user1","req_mem_mb":16384}'] * 400) + b"]"
        head = f"POST /v1/predict HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((host, port)) as connection:
            connection.sendall(head.encode() + body[:-1])
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            connection.sendall(body[-1:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"]")
        assert process.wait() == 0


def test_a_port_that_is_taken_is_one_clear_line(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = subprocess.run([CROWDRUN, "serve", "--port", port], capture_output=True, text=True)
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"crowdrun: cannot listen on 127.0.0.1 port {port}")
    assert "--port" in line


def test_after_a_restart_it_knows_what_others_stored_meanwhile(settings: Settings, tmp_path: Path) -> None:
    job = {"user": "latecomer", "job_name": "x", "state": "COMPLETED", "peak_mem_mb": 700.0, "req_mem_mb": 16384.0}
    times = {"submit_time": 1.8e9, "start_time": 1.8e9, "end_time": 1.8e9 + 60}
    with JobStore.open(settings.store) as store:
        store.add_rows([job | times | {"job_id": f"late-{number}"} for number in range(8)], source="ingest")

    def said() -> dict[str, Any]:
        request = {"user": "latecomer", "job_name": "x", "req_mem_mb": 16384}
        answer: dict[str, Any] = client.post("/v1/predict", json=request).json()
        return answer

    for turn in range(2):
        with serve(tmp_path / f"log{turn}") as (_, client):
            wait_for(lambda: "mem_mb" in said()["predictions"])
            wait_for(lambda: said()["predictions"]["mem_mb"]["evidence"]["jobs"] == 8)
