"""The shards that are on this node: no more than so many bytes, shared by its ranks.

One rank fetches a shard, the others wait for it. The one that was used longest ago goes first; who has it open
keeps it until it is closed, as files are on Linux.
"""

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from crowdrun.training.datasets.shards.fetching import Source
from crowdrun.training.datasets.shards.index import Shard


class ShardCache:
    """Files of a source in a folder."""

    def __init__(self, source: Source, folder: Path, *, limit_mb: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._source, self._folder, self._limit = source, folder, int(limit_mb * 2**20)

    def open(self, shard: Shard) -> int:
        """A descriptor of the shard's file, to be closed by who asked; it is fetched where it is not there.

        Raises:
            DatasetError: it cannot be fetched.
        """
        file = self._folder / shard.name
        with FileLock(file.with_suffix(".lock")):
            if not file.is_file():
                self._make_room(shard.bytes)
                self._source.fetch(shard, file)
            os.utime(file)
            return os.open(file, os.O_RDONLY)

    def _make_room(self, wanted: int) -> None:
        """A shard that is larger than the limit is taken all the same, alone."""
        with FileLock(self._folder / "room.lock"):
            there = []
            for file in self._folder.glob("*.tar"):
                with suppress(FileNotFoundError):
                    status = file.stat()
                    there.append((status.st_mtime_ns, status.st_size, file))
            held = sum(size for _, size, _ in there)
            for _, size, file in sorted(there):
                if held + wanted <= self._limit:
                    return
                file.unlink(missing_ok=True)
                held -= size
