"""A lock that takes turns: who gives it back does not take it again before one who waits.

Python's own lock goes to whoever comes next, and that is mostly the thread that has just given it back: a batch that
lets others in between its parts would let nobody in.
"""

import threading
from types import TracebackType


class FairLock:
    """As `threading.Lock`. Who waits holds the turnstile, so that nobody else can come before."""

    def __init__(self) -> None:
        self._turnstile, self._lock = threading.Lock(), threading.Lock()

    def acquire(self, timeout: float = -1) -> bool:
        """Wait for it, so many seconds at most (-1: without end), and say whether it was had."""
        # Waiting for the turnstile and for the lock each: twice the time at worst.
        if not self._turnstile.acquire(timeout=timeout):
            return False
        try:
            return self._lock.acquire(timeout=timeout)
        finally:
            self._turnstile.release()

    def acquire_now(self) -> bool:
        """Take it where it is free and nobody waits."""
        if not self._turnstile.acquire(blocking=False):
            return False
        try:
            return self._lock.acquire(blocking=False)
        finally:
            self._turnstile.release()

    def release(self) -> None:
        """Give it back."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
