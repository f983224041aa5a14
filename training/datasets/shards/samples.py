"""A data set over shards: any sample by its number, an order that goes through few shards at a time, and the next ones
fetched meanwhile."""

import io
import os
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crowdrun.data.errors import DatasetError
from crowdrun.training.datasets.base import Sample, Samples
from crowdrun.training.datasets.shards.cache import ShardCache
from crowdrun.training.datasets.shards.fetching import Source
from crowdrun.training.datasets.shards.index import Shard, read_index

#: From the members of a sample, by the name after its key, to the sample.
Decode = Callable[[Mapping[str, bytes]], Sample]


def tensors(members: Mapping[str, bytes]) -> Sample:
    """The tensors that `write_shards` wrote, in their order."""
    arrays = (np.load(io.BytesIO(members[name]), allow_pickle=False) for name in sorted(members, key=_place))
    return tuple(torch.as_tensor(array) for array in arrays)


def _place(name: str) -> tuple[int, str]:
    number = name.partition(".")[0]
    return (int(number), "") if number.isdigit() else (1 << 31, name)


class ShardedSamples(Samples):
    """The samples of a folder of shards, by any address of fsspec.

    Args:
        url: of the folder, with its `shards.json`.
        cache: a folder on this node for shards that were fetched; other ranks of the node may share it.
        limit_mb: what the folder may hold; the shards of two windows should fit.
        decode: from a sample's members to the sample.
        window: shards whose samples are shuffled together.
        storage_options: for fsspec, such as keys.

    Raises:
        DatasetError: there is no index of shards there.
    """

    def __init__(
        self,
        url: str,
        *,
        cache: Path,
        limit_mb: float = 4096.0,
        decode: Decode = tensors,
        window: int = 4,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        options = storage_options or {}
        self.source = f"shards of {url}"
        self._shards = read_index(url, options)
        self._starts = [0, *accumulate(shard.samples for shard in self._shards)]
        self._cache = ShardCache(Source(url, options), cache, limit_mb=limit_mb)
        self._decode, self._window = decode, window
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        #: Shard -> those that are wanted after it.
        self._next: dict[int, list[int]] = {}
        self._ahead: threading.Thread | None = None

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._decode(self._opened(number).members(index - self._starts[number]))

    def order(self, indices: Sequence[int], random: torch.Generator) -> list[int]:
        """The samples `indices` in a random order that stays within a window of shards: shards are shuffled, and the
        samples of each window."""
        by_shard: dict[int, list[int]] = {}
        for index in indices:
            by_shard.setdefault(int(np.searchsorted(self._starts, index, side="right")) - 1, []).append(index)
        shards = _shuffled(sorted(by_shard), random)
        windows = [shards[start : start + self._window] for start in range(0, len(shards), self._window)]
        self._next = {number: following for now, following in pairwise(windows) for number in now}
        return [index for now in windows for index in _shuffled([i for n in now for i in by_shard[n]], random)]

    def _opened(self, number: int) -> "_OpenShard":
        if number not in self._open:
            self._open[number] = _OpenShard(self._shards[number], self._cache)
            while len(self._open) > self._window:
                self._open.popitem(last=False)[1].close()
            self._look_ahead(number)
        self._open.move_to_end(number)
        return self._open[number]

    def _look_ahead(self, number: int) -> None:
        """Fetch the shards of the next window while this one is used; what fails there is tried again when needed."""
        wanted = self._next.get(number)
        if wanted and (self._ahead is None or not self._ahead.is_alive()):
            self._ahead = threading.Thread(target=self._fetch, args=(wanted,), name="shards ahead", daemon=True)
            self._ahead.start()

    def _fetch(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            try:
                os.close(self._cache.open(self._shards[number]))
            except DatasetError:
                return


class _OpenShard:
    """A shard's file, and where each sample's members lie in it."""

    def __init__(self, shard: Shard, cache: ShardCache) -> None:
        self._file = cache.open(shard)
        with os.fdopen(os.dup(self._file), "rb") as stream, tarfile.open(fileobj=stream) as tar:
            self._samples = list(_grouped(tar))
        if len(self._samples) != shard.samples:
            raise DatasetError(f"{shard.name} holds {len(self._samples)} samples, its index says {shard.samples}")

    def members(self, place: int) -> dict[str, bytes]:
        return {name: os.pread(self._file, size, offset) for name, (offset, size) in self._samples[place].items()}

    def close(self) -> None:
        os.close(self._file)


def _grouped(tar: tarfile.TarFile) -> Iterator[dict[str, tuple[int, int]]]:
    """Offset and size of the members of each sample, by their name after the key (up to the first dot)."""
    key, members = "", dict[str, tuple[int, int]]()
    for member in tar:
        if not member.isfile():
            continue
        own, _, name = member.name.rpartition("/")[2].partition(".")
        if own != key and members:
            yield members
            members = {}
        key = own
        members[name] = (member.offset_data, member.size)
    if members:
        yield members


def _shuffled(values: Sequence[int], random: torch.Generator) -> list[int]:
    return [values[place] for place in torch.randperm(len(values), generator=random).tolist()]
