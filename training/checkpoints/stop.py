"""A request to stop: a signal sets a flag, and the ranks look at it between two steps.

Nothing else is done in the handler: a checkpoint that is saved there can meet a half-done step, or itself.
"""

import signal
from pathlib import Path
from types import FrameType

#: SIGTERM comes before the end of a lease; SIGUSR1 is what schedulers are asked to send some time before it.
NUMBERS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether this rank was told to stop, by a signal or by a file that the job's script makes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reason: str | None = None

    def listen(self) -> None:
        """Take the signals; in the main thread alone."""
        for number in NUMBERS:
            signal.signal(number, self._note)

    def reason(self) -> str | None:
        """Who wants it; None while nobody does."""
        if self._reason is None and self._file.exists():
            self._reason = "the job's script"
        return self._reason

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._reason = signal.Signals(number).name


class StoppedError(Exception):
    """Raised on all ranks when they have saved and are to leave."""
