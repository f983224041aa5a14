"""A rank says once a second where it is: so that one that hangs is known by name, and one that is slow by figures.

A thread looks at the main thread's stack ten times a second. Inside torch's own waiting for other ranks it waits;
anywhere else it works by itself. So of ranks that stand still, the one that all others wait for is the one that does
not wait, with NCCL as with gloo.

Inside a way back (`backward`) torch both computes and waits for others, under the same line of Python. There a line of
the task's own that the engine calls (a Function's backward, a hook) tells, in whichever thread; without one the kernel
does: a thread that waits for others sleeps, one that computes runs.

Not seen: a rank whose native code stands still in a lock inside a way back, which sleeps as if it waited for others;
and on a GPU any native code there, since the main thread sleeps until the GPU's own has done it.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from crowdrun.training.thread_state import thread_waits

_LOOK_S, _WRITE_S = 0.1, 1.0
#: Files of torch in which a rank waits for others.
_WAITS = ("torch/distributed/", "torch/nn/parallel/")
#: Those from which its engine goes the way back, in which it computes, and DDP waits.
_WAY_BACK = ("torch/autograd/graph.py", "torch/autograd/__init__.py")
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
    #: How far the training is and what the rank holds: epoch, step_in_epoch, loss, held_mb and the like.
    progress: Mapping[str, float] = field(default_factory=dict)


def beat_file(folder: Path, rank: int) -> Path:
    return folder / f"beat-{rank}.json"


class Heartbeat(threading.Thread):
    """The thread of one rank."""

    def __init__(self, folder: Path, rank: int) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._file, self._rank, self._main = beat_file(folder, rank), rank, threading.main_thread()
        self._since_s, self._step = time.time(), 0
        #: Threads that others had started, of which Python's own list may know nothing: no engine of torch's.
        self._there_before = frozenset(sys._current_frames())
        self._ended = threading.Event()
        #: Asked at each beat; may be asked at any moment, from a thread.
        self.progress: Callable[[], Mapping[str, float]] = dict
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
        written_s, seen = 0.0, list[tuple[bool, str]]()
        while not self._ended.wait(_LOOK_S):
            look = _look(self._main, self._there_before)
            if look is None:
                return
            frame, waits = look
            seen.append((waits, _where(frame)))
            self.looks, self.own_looks = self.looks + 1, self.own_looks + (not waits)
            if time.time() - written_s >= _WRITE_S:
                written_s = time.time()
                self._write(self._beat(seen, written_s))
                seen.clear()

    def _beat(self, seen: Sequence[tuple[bool, str]], now: float) -> Beat:
        """Of several looks: one that works waits at times, for the interpreter's lock, which we hold meanwhile."""
        waits = sum(waits for waits, _ in seen) * 2 > len(seen)
        return Beat(
            rank=self._rank,
            time_s=now,
            since_s=self._since_s,
            step=self._step,
            waits=waits,
            where=[where for waited, where in seen if waited == waits][-1],
            progress=self.progress(),
        )

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


def _look(main: threading.Thread, there_before: Set[int]) -> tuple[FrameType, bool] | None:
    """The frame that tells where the main thread is, and whether it waits for others; None where it has ended."""
    frames = sys._current_frames()
    innermost = frames.get(main.ident or 0)
    if innermost is None:
        return None
    frame = _telling(innermost)
    if not _is_in(frame, _WAY_BACK):
        return frame, _waits(frame)
    # Python that torch's engine calls in a thread that Python did not start: on a GPU.
    known = there_before | {thread.ident for thread in threading.enumerate()}
    for ident, other in frames.items():
        if ident not in known:
            return _telling(other), _waits(_telling(other))
    waits = thread_waits(main.native_id or 0)
    return frame, waits is None or waits


def _telling(frame: FrameType) -> FrameType:
    while frame.f_back is not None and frame.f_code.co_filename.endswith(_BETWEEN):
        frame = frame.f_back
    return frame


def _waits(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS) or _is_in(frame, _WAITS)


def _is_in(frame: FrameType, files: tuple[str, ...]) -> bool:
    return any(part in frame.f_code.co_filename for part in files)


def _where(frame: FrameType) -> str:
    return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})"
