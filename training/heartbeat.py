"""A rank says once a second where it is: so that one that hangs is known by name, and one that is slow by figures.

A thread looks at the main thread's stack ten times a second. Inside torch's own waiting for other ranks it waits;
anywhere else it works by itself. So of ranks that stand still, the one that all others wait for is the one that does
not wait, with NCCL as with gloo.

Not seen: a rank that stands still inside a way back (`backward`), where torch both computes and waits.
"""

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

_LOOK_S, _WRITE_S = 0.1, 1.0
#: Files of torch in which a rank waits for others, and the call in which DDP waits inside a way back.
_WAITS = ("torch/distributed/", "torch/nn/parallel/", "torch/autograd/graph.py", "torch/autograd/__init__.py")
#: Ours, in which a rank waits for its GPU, and that for others; or for a checkpoint to be written.
_OURS = tuple(f"{Path(__file__).parent.as_posix()}/{name}/" for name in ("strategies", "checkpoints"))
#: Python's, which say nothing: who called them does.
_BETWEEN = ("/threading.py", "/concurrent/futures/_base.py")


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Where a rank was."""

    rank: int
    #: When it was written, and when the last step had ended then: Unix times, s.
    time_s: float
    since_s: float
    step: int
    #: It waited for other ranks.
    waits: bool
    #: File, line and function.
    where: str


def beat_file(folder: Path, rank: int) -> Path:
    return folder / f"beat-{rank}.json"


class Heartbeat(threading.Thread):
    """The thread of one rank."""

    def __init__(self, folder: Path, rank: int) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._file, self._rank, self._main = beat_file(folder, rank), rank, threading.main_thread().ident
        self._since_s, self._step = time.time(), 0
        self._ended = threading.Event()
        #: Looks so far, and those in which the rank did not wait.
        self.looks = self.own_looks = 0

    def stepped(self) -> None:
        """The main thread got on."""
        self._since_s, self._step = time.time(), self._step + 1

    @property
    def own_s(self) -> float:
        """Time in which this rank did not wait for others, s, as far as looks can tell."""
        return self.own_looks * _LOOK_S

    def run(self) -> None:
        written_s = 0.0
        while not self._ended.wait(_LOOK_S):
            innermost = sys._current_frames().get(self._main or 0)
            if innermost is None:
                return
            frame = _telling(innermost)
            waits = _waits(frame)
            self.looks, self.own_looks = self.looks + 1, self.own_looks + (not waits)
            if time.time() - written_s >= _WRITE_S:
                written_s = time.time()
                self._write(Beat(
                    rank=self._rank, time_s=written_s, since_s=self._since_s, step=self._step, waits=waits,
                    where=_where(frame),
                ))  # fmt: skip

    def end(self) -> None:
        """No more of it."""
        self._ended.set()
        self.join()

    def _write(self, beat: Beat) -> None:
        """Whole or not at all; it need not outlive a power cut, and on a full disk the old one stays."""
        new = self._file.with_suffix(".new")
        try:
            new.write_text(json.dumps(asdict(beat)))
            new.replace(self._file)
        except OSError:
            return


def read_beats(folder: Path) -> list[Beat]:
    """The last beat of each rank that has written one, in their order."""
    beats = []
    for file in folder.glob("beat-*.json"):
        try:
            beats.append(Beat(**json.loads(file.read_text())))
        except (OSError, ValueError):
            continue
    return sorted(beats, key=lambda beat: beat.rank)


def _telling(frame: FrameType) -> FrameType:
    while frame.f_back is not None and frame.f_code.co_filename.endswith(_BETWEEN):
        frame = frame.f_back
    return frame


def _waits(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(_OURS) or any(part in file for part in _WAITS)


def _where(frame: FrameType) -> str:
    return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})"
