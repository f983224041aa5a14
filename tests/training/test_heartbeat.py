"""Where a rank is, on its way back: in native code, without a line of Python to tell."""

import functools
import itertools
import os
import platform
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from crowdrun.training.hang import hung
from crowdrun.training.heartbeat import Beat, Heartbeat, read_beats
from crowdrun.training.thread_state import thread_waits

#: Each is summed up by a hook of builtin functions alone: what the engine calls shows no frame.
STILL_S = 0.5


def work() -> Any:
    """Additions of tensors."""
    return itertools.repeat(0, 100_000)


def read() -> Any:
    """Lines of a pipe into which nobody writes; it is closed in the end."""
    end, other = os.pipe()
    threading.Timer(STILL_S, os.close, (other,)).start()
    return os.fdopen(end)


def wait() -> Any:
    """What a thread of its own brings, as gloo's does."""
    brought: queue.SimpleQueue[None] = queue.SimpleQueue()
    threading.Timer(STILL_S, brought.put, (None,)).start()
    return iter(brought.get, None)


def sleep() -> Any:
    """A line of Python, a generator's."""

    def lines() -> Iterator[int]:
        time.sleep(STILL_S)
        yield 0

    return lines()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize(("does", "waits"), [(work, False), (read, False), (sleep, False), (wait, True)])
def test_on_the_way_back_a_rank_that_stands_still_is_told_from_one_that_waits(
    tmp_path: Path, does: Callable[[], Any], waits: bool
) -> None:
    if thread_waits(threading.main_thread().native_id or 0) is None:
        pytest.skip(f"the kernel does not say what a thread does, or the machine ({platform.machine()}) is not known")
    heart = Heartbeat(tmp_path, 3)
    values = torch.ones(2, requires_grad=True)
    heart.start()
    while heart.looks < 12 or not read_beats(tmp_path):
        inputs = values * 1
        parts = does()
        inputs.register_hook(functools.partial(sum, parts))
        torch.autograd.backward(inputs.sum())
        if hasattr(parts, "close"):
            parts.close()
    heart.end()
    own = heart.own_looks / heart.looks
    # On a busy machine the lines between are seen as well; the beat goes by what most looks say.
    assert own < 0.5 if waits else own > 0.5
    [beat] = read_beats(tmp_path)
    assert beat.rank == 3


def beat(rank: int, *, written_s: float = 100.0, waits: bool = True) -> Beat:
    return Beat(rank=rank, time_s=written_s, since_s=40.0, step=7, waits=waits, where="step (task.py:9)")


def test_a_rank_that_answers_no_more_is_named_with_where_it_was_last() -> None:
    told = hung([beat(0), beat(1, written_s=42.0)], ranks=2, hang_s=50.0, now=100.0)
    assert told == "rank 1 hung: no step for 60 s, answers no more, last seen in step (task.py:9)"


def test_ranks_that_all_wait_are_said_to() -> None:
    told = hung([beat(0), beat(1)], ranks=2, hang_s=50.0, now=100.0)
    assert told == "all ranks hung: no step for 60 s, and each waits for others"
