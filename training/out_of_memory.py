"""A step that the memory does not suffice for: told by the rank that met it, read by the runner.

>>> import tempfile
>>> ranks = Path(tempfile.mkdtemp())
>>> tell(ranks, 1, taken=8)
>>> smaller(ranks)
4
"""

import json
from pathlib import Path

from crowdrun.data.durable import write_atomically


def is_out_of_memory(error: BaseException) -> bool:
    """torch's own error for a GPU, and what it raises where the machine refuses host memory (c10's alloc_cpu.cpp)."""
    names = {kind.__name__ for kind in type(error).__mro__}
    refused = "DefaultCPUAllocator: " in str(error) and "memory" in str(error)
    return "OutOfMemoryError" in names or refused


def tell(folder: Path, rank: int, *, taken: int) -> None:
    """Write down that a rank took so many samples at once, and had no memory for them."""
    write_atomically(folder / f"out-of-memory-{rank}.json", json.dumps({"taken": taken}).encode())


def smaller(folder: Path) -> int | None:
    """Half of the samples that were too many; None when no rank told, or one sample was too many."""
    taken = [json.loads(file.read_text())["taken"] for file in folder.glob("out-of-memory-*.json")]
    return min(taken) // 2 or None if taken else None
