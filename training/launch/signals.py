"""What signals are to the runner of a job.

While it runs, SIGTERM and SIGHUP are as Ctrl-C: the job is ended and what is known of it is kept. SIGUSR1 is what
schedulers are asked to send before the time is over, and is counted, to be passed on.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def raised_as_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for them; nothing changes outside the main thread, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


class Counted:
    """How often a signal came while somebody listened."""

    def __init__(self, number: signal.Signals) -> None:
        self._number, self.count = number, 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count it in place of what it did before; nothing changes outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(self._number, self._note)
        try:
            yield
        finally:
            signal.signal(self._number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.count += 1
