import socket
import time

from crowdrun.training.wire import sent_bytes


def test_what_goes_over_a_connection_is_counted_by_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        with receiver:
            before = sent_bytes()
            sender.sendall(bytes(100_000))
            left = 100_000
            while left:
                left -= len(receiver.recv(65536))
            deadline = time.monotonic() + 10
            while sent_bytes() - before < 100_000 and time.monotonic() < deadline:
                time.sleep(0.01)  # acknowledged a moment later
            assert sent_bytes() - before == 100_000
