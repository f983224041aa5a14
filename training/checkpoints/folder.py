"""The folder of a run's checkpoints, and which of them are whole. Imports no torch: the runner reads it too.

checkpoints/
    step-00000120/
        .metadata, __0_0.distcp, …   the tensors, as torch's distributed checkpoints have them
        committed.json               the position and who saved it; written last, when all else is on the disk

A folder without `committed.json` is not a checkpoint: whoever wrote it was stopped, or still writes.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crowdrun.data.durable import sync, sync_tree, write_atomically

#: Of a run.
FOLDER = "checkpoints"
MARKER_FILE = "committed.json"
_START = "step-"


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What is told of a checkpoint beside its tensors."""

    #: `Position.to_table` of the trainer.
    position: Mapping[str, Any]
    world_size: int
    #: Of each rank: samples of the epoch so far, and the sum of their losses.
    sums: Sequence[Sequence[float]]
    #: The task, its options and strategy: what must be the same for the training to go on.
    training: Mapping[str, Any]
    #: What the strategy measured and chose when it started (`Strategy.decisions`).
    decided: Mapping[str, Any]
    #: Bytes of all its files.
    size: int

    @property
    def step(self) -> int:
        return int(self.position["step"])


def folder_of(checkpoints: Path, step: int) -> Path:
    """
    >>> folder_of(Path("checkpoints"), 120).as_posix()
    'checkpoints/step-00000120'
    """
    return checkpoints / f"{_START}{step:08}"


def read_marker(folder: Path) -> Marker | None:
    """The marker of a whole checkpoint; None where there is none, or none that can be read."""
    try:
        return Marker(**json.loads((folder / MARKER_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def committed(checkpoints: Path) -> list[Path]:
    """The whole checkpoints, the newest first."""
    folders = sorted(checkpoints.glob(f"{_START}*"), reverse=True)
    return [folder for folder in folders if read_marker(folder)]


def newest(checkpoints: Path) -> tuple[Path, Marker] | None:
    """The newest whole one."""
    for folder in committed(checkpoints):
        marker = read_marker(folder)
        if marker:
            return folder, marker
    return None


def commit(folder: Path, marker: Marker) -> None:
    """Make a folder whose files are written a checkpoint."""
    sync_tree(folder)
    write_atomically(folder / MARKER_FILE, json.dumps(asdict(marker), indent=1).encode())
    sync(folder.parent)


def remove(folder: Path) -> None:
    """Remove a checkpoint, or what is there of one; at no moment does a part of it look whole."""
    (folder / MARKER_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def clean(checkpoints: Path) -> list[Path]:
    """Remove what was left half-written; nobody else may be writing. What was removed."""
    left = [folder for folder in checkpoints.glob(f"{_START}*") if not read_marker(folder)]
    for folder in left:
        remove(folder)
    return left


def prune(checkpoints: Path, *, keep: int) -> None:
    """Remove all but the newest."""
    for folder in committed(checkpoints)[keep:]:
        remove(folder)


def size_of(folder: Path) -> int:
    """Bytes of the files of a checkpoint."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
