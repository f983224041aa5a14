"""Puts samples into shards: to be done once, on the machine that has them."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import DatasetError
from crowdrun.training.datasets.shards.index import INDEX_FILE, Shard, index_text

#: Name of a member after the sample's key -> its bytes.
Members = Mapping[str, bytes]


def write_shards(samples: Iterable[Members | tuple[Tensor, ...]], folder: Path, *, each: int) -> tuple[Shard, ...]:
    """Write shards of `each` samples, and last the index; returns what is in it.

    A sample is a tuple of tensors (each becomes a member `N.npy`), or the members by name.

    Raises:
        DatasetError: there is no sample, or `each` is below 1.
    """
    if each < 1:
        raise DatasetError(f"each is {each}; a shard holds 1 sample or more")
    folder.mkdir(parents=True, exist_ok=True)
    iterator, shards = iter(samples), list[Shard]()
    while some := list(islice(iterator, each)):
        shards.append(_write(some, folder / f"{len(shards):06}.tar", first=len(shards) * each))
    if not shards:
        raise DatasetError("there is no sample to put into a shard")
    write_atomically(folder / INDEX_FILE, index_text(shards).encode())
    return tuple(shards)


def _write(samples: list[Members | tuple[Tensor, ...]], file: Path, *, first: int) -> Shard:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, sample in enumerate(samples, first):
            for name, content in _members(sample):
                info = tarfile.TarInfo(f"{number:08}.{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    content = file.read_bytes()
    return Shard(name=file.name, samples=len(samples), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _members(sample: Members | tuple[Tensor, ...]) -> Iterator[tuple[str, bytes]]:
    if isinstance(sample, Mapping):
        yield from sample.items()
        return
    for place, tensor in enumerate(sample):
        buffer = io.BytesIO()
        np.save(buffer, tensor.numpy(), allow_pickle=False)
        yield f"{place}.npy", buffer.getvalue()
