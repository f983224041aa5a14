"""What the allocator is told, measured on a process of its own."""

import subprocess
import sys

import pytest

#: 24 threads each allocate and free 20 MB in small pieces, one of which stays; prints the resident MB that are left.
_PROGRAM = """
import sys, threading
import numpy as np, psutil
from crowdrun.api.serving import memory
if {few}:
    memory.keep_few_arenas()
barrier, kept = threading.Barrier(24), []
def work():
    pieces = [np.ones(5000) for _ in range(500)]
    barrier.wait()
    kept.append(pieces[-1])
threads = [threading.Thread(target=work) for _ in range(24)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if {few}:
    memory.give_back()
print(psutil.Process().memory_info().rss / 2**20)
"""


def _left_mb(*, few: bool) -> float:
    output = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(few=few)], capture_output=True, text=True, check=True
    )
    return float(output.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_what_threads_freed_goes_back_to_the_system() -> None:
    assert _left_mb(few=True) < _left_mb(few=False) - 50
