"""Progress: for a person, a bar on standard error that gives way when it is not a terminal; for a program, a file."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from crowdrun.data.durable import write_atomically

#: Between two writes of a file.
_INTERVAL_S = 0.5


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, float], None]]:
    """A function to call with what is being done and the share that is done, 0 to 1."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda doing, share: bar.update(task, description=f"{title}: {doing}", completed=share)


def progress_file(file: Path) -> Callable[[str, float], None]:
    """The same as a JSON object in a file, `doing` and `share`, written anew twice a second at most."""
    written = 0.0

    def tell(doing: str, share: float) -> None:
        nonlocal written
        if time.monotonic() - written >= _INTERVAL_S:
            written = time.monotonic()
            write_atomically(file, json.dumps({"doing": doing, "share": round(share, 3)}).encode())

    return tell
