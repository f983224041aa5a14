"""Writes a checkpoint by torch's distributed checkpoints while the training goes on; commits it when all is written.

All ranks write their parts; the training waits only while they are copied. What cannot be written (a full disk) is
given up with a warning: the training goes on.
"""

import io
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.state_dict_saver import async_save

from crowdrun.training.checkpoints.folder import Marker, commit, folder_of, prune, remove, size_of
from crowdrun.training.ranks import Ranks

#: Free space that must be there, as a multiple of the checkpoint's size, and beside it, bytes.
ROOM, MARGIN = 1.1, 16 * 2**20


class Saver:
    """The checkpoints of a run as its ranks write them; one at a time is under way."""

    def __init__(self, checkpoints: Path, ranks: Ranks, *, keep: int) -> None:
        self._checkpoints, self._ranks, self._keep = checkpoints, ranks, keep
        # Of its own: what goes on in the background must not get between the training's messages.
        self.group = dist.new_group(backend="gloo") if ranks.world_size > 1 else None
        self._future: Future[Any] | None = None
        self._settled = threading.Event()
        self._settled.set()
        self._size: int | None = None
        #: Seconds for which the training stood still, of the last save.
        self.blocked_s = 0.0
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")

    @property
    def busy(self) -> bool:
        """One is still being written."""
        return not self._settled.is_set()

    def save(
        self,
        tensors: Mapping[str, Tensor],
        own: Mapping[str, Any],
        marker: Callable[..., Marker],
        *,
        step: int,
        sums: tuple[int, float],
    ) -> None:
        """Begin to write; all ranks call it after the same step.

        tensors: of this rank, as `Strategy.state` gives them. own: what only this rank knows. marker: makes the marker
        of `sums` (of all ranks) and `size`. step: where it stands. sums: its samples of the epoch, and of their losses.
        """
        begun = time.perf_counter()
        self.wait()
        blob = io.BytesIO()
        torch.save(dict(own), blob)
        state: dict[str, Any] = {**tensors, own_key(self._ranks.rank): blob.getvalue()}
        told = self._gather({"sums": sums, "step": step, "sizes": None if self._size else _sizes(state)})
        sizes = {name: size for rank in told for name, size in (rank["sizes"] or {}).items()}
        size = self._size or sum(sizes.values())
        made = marker(sums=[list(rank["sums"]) for rank in told], size=size)
        # Ranks with samples of their own take different numbers of steps; the first one's names the folder.
        folder = folder_of(self._checkpoints, told[0]["step"])
        if self._has_room(size, folder):
            self._begin(state, folder, made)
        self.blocked_s = time.perf_counter() - begun

    def wait(self) -> None:
        """Until what is under way is written, and committed."""
        if self._future is not None:
            self._future.exception()
            self._future = None
        self._settled.wait()

    def _begin(self, state: dict[str, Any], folder: Path, marker: Marker) -> None:
        if self._ranks.first:
            remove(folder)
            folder.mkdir(parents=True, exist_ok=True)
        self._settled.clear()
        future = async_save(state, checkpoint_id=folder, process_group=self.group, no_dist=self.group is None)
        assert isinstance(future, Future)
        self._future = future
        future.add_done_callback(lambda done: self._settle(done, folder, marker))

    def _settle(self, done: "Future[Any]", folder: Path, marker: Marker) -> None:
        """In the background, when all ranks have written: the first commits."""
        try:
            error = done.exception()
            if not self._ranks.first:
                return
            if error:
                raise OSError(_reason(error))
            self._size = size_of(folder)
            commit(folder, Marker(**{**vars(marker), "size": self._size}))
            prune(self._checkpoints, keep=self._keep)
        except OSError as error:
            print(f"warning: no checkpoint {folder.name}: {error}; the training goes on", flush=True)
            remove(folder)
        finally:
            self._settled.set()

    def _has_room(self, size: int, folder: Path) -> bool:
        """The first rank looks, and all hear it."""
        free = 0
        if self._ranks.first:
            self._checkpoints.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._checkpoints).free
        needed = int(size * ROOM) + MARGIN
        free = int(self._gather(free)[0])
        if free < needed and self._ranks.first:
            print(
                f"warning: no checkpoint {folder.name}: {self._checkpoints} has {free / 2**20:.0f} MB left, and "
                f"{needed / 2**20:.0f} MB are needed; the training goes on",
                flush=True,
            )
        return free >= needed

    def _gather(self, value: Any) -> list[Any]:
        """As `Ranks.gather`, by gloo also where the training speaks NCCL."""
        if self.group is None:
            return [value]
        values: list[Any] = [None] * self._ranks.world_size
        dist.all_gather_object(values, value, group=self.group)
        return values


def own_key(rank: int) -> str:
    """Under which a checkpoint holds what only this rank knows."""
    return f"own.rank{rank}"


def _sizes(state: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of each entry; of one that lies in shards, of the whole."""
    return {
        name: value.numel() * value.element_size() if isinstance(value, Tensor) else len(value)
        for name, value in state.items()
    }


def _reason(error: BaseException) -> str:
    """One rank's own words out of torch's report of all."""
    failures = list(getattr(error, "failures", {}).values())
    own = failures[0][0] if failures else error
    return (str(own).splitlines() or [type(own).__name__])[0]
