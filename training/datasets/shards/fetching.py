"""Brings a shard to this node, in pieces: a connection that drops costs a piece, not the whole.

What is there is only used when its size and SHA-256 are those of the index.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import fsspec

from crowdrun.data.errors import DatasetError
from crowdrun.training.datasets.shards.index import Shard

PIECE_BYTES = 8 << 20
#: Of a piece in a row; between them it is waited for the first so long, then twice that, and so on.
TRIES, FIRST_WAIT_S = 6, 0.2


class Source:
    """A folder of shards at an address of fsspec (`file`, `http`, `s3` and what else is installed)."""

    def __init__(self, url: str, storage_options: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, **storage_options)
        except (ImportError, ValueError) as error:
            raise DatasetError(f"{url} cannot be read: {error}; for http run pip install 'crowdrun[http]'") from error

    def fetch(self, shard: Shard, file: Path) -> None:
        """Put a shard into a file, which is whole when this returns.

        Raises:
            DatasetError: it could not be read after several tries, or is not what the index says.
        """
        part = file.with_suffix(".part")
        for last in (False, True):
            self._bring(shard, part)
            if _is_right(part, shard):
                part.replace(file)
                return
            part.unlink()
            if last:
                raise DatasetError(
                    f"{self.url}/{shard.name} is not what the index says (its SHA-256 differs, twice); write it again"
                )

    def _bring(self, shard: Shard, part: Path) -> None:
        """What is still missing; a part that was left behind goes on where it ends."""
        with part.open("ab") as stream:
            while (have := stream.tell()) < shard.bytes:
                end = min(have + PIECE_BYTES, shard.bytes)
                content = self._tried(shard, partial(self._piece, shard, have, end))
                if len(content) == shard.bytes and have:
                    stream.truncate(0)  # a server that knows no ranges sends all of it
                stream.write(content)
                stream.flush()

    def _piece(self, shard: Shard, start: int, end: int) -> bytes:
        content = bytes(self._files.cat_file(f"{self._root}/{shard.name}", start=start, end=end))
        if len(content) not in (end - start, shard.bytes):
            raise OSError(f"{len(content)} bytes came where {end - start} were asked for")
        return content

    def _tried(self, shard: Shard, read: Callable[[], bytes]) -> bytes:
        for number in range(TRIES):
            try:
                return read()
            except Exception as error:  # each kind of address has errors of its own
                if number == TRIES - 1:
                    said = f"{type(error).__name__}: {error}"
                    raise DatasetError(f"{self.url}/{shard.name} could not be read in {TRIES} tries: {said}") from error
                time.sleep(FIRST_WAIT_S * 2**number)
        raise AssertionError("the last try returns or raises")


def _is_right(file: Path, shard: Shard) -> bool:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == shard.sha256
