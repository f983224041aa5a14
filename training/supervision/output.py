"""What a command writes: passed on as it comes, and kept."""

import os
import subprocess
import sys
import threading
from typing import IO

_CHUNK = 65536
#: For the last of it, where a process that cannot be killed holds the other end.
_PATIENCE_S = 10.0


class Tee:
    """Two threads that copy a process's standard output and error to ours and to one file."""

    def __init__(self, process: subprocess.Popen[bytes], kept: IO[bytes], *, echo: bool) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._copy, args=(source, target if echo else None), daemon=True)
            for source, target in ((process.stdout, sys.stdout.buffer), (process.stderr, sys.stderr.buffer))
            if source
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait until all that was written is copied; call it when no process holds the other end any more."""
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _copy(self, source: IO[bytes], target: IO[bytes] | None) -> None:
        targets = [self._kept, *([target] if target else [])]
        while chunk := os.read(source.fileno(), _CHUNK):
            with self._lock:
                targets = [target for target in targets if _accepts(target, chunk)]
        source.close()


def _accepts(target: IO[bytes], chunk: bytes) -> bool:
    """False when it takes no more (a full disk, a reader that went away); the command goes on all the same."""
    try:
        target.write(chunk)
        target.flush()
    except OSError:
        return False
    return True
