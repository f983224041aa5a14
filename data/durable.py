"""Files that are there whole or not at all, also after a kill or a power cut.

A rename within one file system is atomic (POSIX, `man 2 rename`), but only what was synced before it survives a power
cut, and the rename itself only once the folder is synced (`man 2 fsync`).

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     file = Path(folder) / "current"
...     write_atomically(file, b"one")
...     write_atomically(file, b"two")
...     file.read_bytes(), [path.name for path in Path(folder).iterdir()]
(b'two', ['current'])
"""

import os
import secrets
from pathlib import Path

#: Start of the names of what is not finished, or on its way out; a reader passes over them.
UNFINISHED = ".unfinished-"


def unfinished_name(parent: Path) -> Path:
    """A new name in `parent` for a file or folder that is renamed when it is finished."""
    return parent / f"{UNFINISHED}{secrets.token_hex(8)}"


def write_atomically(file: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace the content of a file: a reader sees the old or the new, never a part.

    mode: who may read and write it, less what the process's umask takes away.
    """
    temporary = unfinished_name(file.parent)
    try:
        with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as opened:
            opened.write(content)
        sync(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    sync(file.parent)


def sync_tree(folder: Path) -> None:
    """Sync every file and folder below and the folder itself."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
