"""Who sends the head of a request slowly, or without end, on a real socket."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from crowdrun.api.serving import head_limit
from crowdrun.api.serving.peer import PeerProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD_S = 0.5


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers after the time that the path says, s."""
    await asyncio.sleep(float(scope["path"][1:] or 0))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(head_limit, "HEAD_S", HEAD_S)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(answer, http=PeerProtocol, lifespan="off", log_config=None, access_log=False)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


def until_closed(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        told = until_closed(connection)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in told


def test_a_head_that_comes_a_byte_at_a_time_is_not_waited_for(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(0.05)
        began, told = time.monotonic(), b""
        for byte in REQUEST * 100:
            connection.sendall(bytes([byte])[:1] if byte not in b"\r\n" else b"x")
            try:
                told = connection.recv(100)
                break
            except TimeoutError:
                continue
    assert told.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 20 * HEAD_S


def test_a_head_without_end_is_not_read(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"x-more: " + b"y" * (head_limit.HEAD_BYTES + 1))
        assert until_closed(connection).startswith(b"HTTP/1.1 431 ")


def test_an_answer_may_take_longer_and_another_request_may_follow(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        for _ in range(3):
            connection.sendall(REQUEST.replace(b"/ ", b"/0.8 "))
            told = b""
            while not told.endswith(b"ok"):
                told += connection.recv(65536)
            assert told.startswith(b"HTTP/1.1 200 ")
            time.sleep(1.5 * HEAD_S)


def test_the_second_request_of_a_connection_is_held_to_it_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"GET / HT")
        told = until_closed(connection)
    assert told.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in told
