"""What a published model is made of: `manifest.json` beside its files, and the check before it is used.

The manifest holds the SHA-256 of every other file, and the model's id ends with the start of the manifest's own, so
that no byte of a published model can change unseen. This guards against damage and mix-ups, not against somebody who
may write to the models folder: such a person can publish a model of their own.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from crowdrun.data.errors import ModelError

FILE = "manifest.json"
#: Version of the layout of a model's folder; raised when an older crowdrun could not read it.
FORMAT = 2
#: Hexadecimal digits of the manifest's SHA-256 in the model's id.
ID_DIGITS = 12
#: Distributions whose versions shape what is in the files.
LIBRARIES = ("crowdrun", "numpy", "pandas", "scikit-learn", "xgboost-cpu", "xgboost", "torch")
ADVICE = "activate another with 'crowdrun models activate ID', or make a new one with 'crowdrun retrain'"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`."""

    format: int
    #: When it was published, ISO 8601, UTC.
    made: str
    #: Distribution, and "python" -> version.
    versions: Mapping[str, str]
    #: The crowd's own summary: data range, row counts, members, figures.
    summary: Mapping[str, Any]
    #: The place in the job history up to which it was trained (`data/store_follow.py`); None: trained on a log.
    store_position: int | None
    #: Path below the model's folder -> SHA-256, hexadecimal.
    files: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, *, made: str, summary: Mapping[str, Any], store_position: int | None) -> Self:
        """The manifest of the files that are in a folder now."""
        return cls(
            format=FORMAT,
            made=made,
            versions=library_versions(),
            summary=summary,
            store_position=store_position,
            files={name: digest(folder / name) for name in file_names(folder)},
        )

    @property
    def made_at(self) -> float:
        """When it was published, UTC epoch seconds."""
        return datetime.fromisoformat(self.made).timestamp()

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def read(folder: Path) -> Manifest:
    """The manifest of a model, its own bytes checked against the folder's name.

    Raises:
        ModelError: it is missing, changed, or of another format version.
    """
    try:
        content = (folder / FILE).read_bytes()
    except OSError as error:
        raise ModelError(f"model {folder.name}: cannot read {FILE}: {error.strerror}; {ADVICE}") from error
    if not folder.name.endswith(f"-{manifest_digits(content)}"):
        raise ModelError(f"model {folder.name}: {FILE} was changed: its SHA-256 does not match the id; {ADVICE}")
    table = json.loads(content)
    if table.get("format") != FORMAT:
        raise ModelError(
            f"model {folder.name}: {FILE} has format {table.get('format')!r}, this crowdrun reads {FORMAT}; {ADVICE}"
        )
    return Manifest(**table)


def verify(folder: Path) -> Manifest:
    """Read the manifest and compare every file with it.

    Raises:
        ModelError: a file is missing, was added or was changed; names it.
    """
    manifest = read(folder)
    there = set(file_names(folder))
    for what, names in (("is missing", manifest.files.keys() - there), ("was added", there - manifest.files.keys())):
        if names:
            raise ModelError(f"model {folder.name}: {min(names)} {what}; {ADVICE}")
    for name, expected in manifest.files.items():
        if digest(folder / name) != expected:
            raise ModelError(f"model {folder.name}: {name} was changed: its SHA-256 does not match {FILE}; {ADVICE}")
    return manifest


def manifest_digits(content: bytes) -> str:
    """The end of a model's id, from the bytes of its manifest."""
    return hashlib.sha256(content).hexdigest()[:ID_DIGITS]


def file_names(folder: Path) -> list[str]:
    """Every path below a model's folder that is not a folder, in order, without the manifest."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != FILE)


def digest(file: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        ModelError: it is not a plain file, or cannot be read.
    """
    if file.is_symlink() or not file.is_file():
        raise ModelError(f"{file} is not a plain file; a model holds plain files only")
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {file}: {error.strerror}") from error


def library_versions() -> dict[str, str]:
    """Installed versions of what a model is made with."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
