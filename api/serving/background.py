"""A thread that works beside the service for as long as a context lasts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def background(work: Callable[[], None], stop: threading.Event, name: str) -> Iterator[None]:
    """Run `work` in a thread; at the end `stop` is set, and the thread is waited for."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
