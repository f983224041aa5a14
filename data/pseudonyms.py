"""Names as keyed hashes: the same name always becomes the same pseudonym, and who lacks the key cannot try names out.

Users, groups and accounts are hashed whole. In the names of jobs, commands and folders each word is hashed for itself,
and digits and signs stay: a family of jobs stays one (`train-7`, `train-8`), and the numbers that the options of a
command set, which the crowd looks at, stay too. Sizes, times, partitions and job ids are stored as they are.

The key is a file of the home folder that only its owner may read. Without it the stored jobs can neither be asked for
by name nor added to: keep a copy.

>>> ours = Pseudonyms(b"k" * 32)
>>> ours.name("ada") == ours.name("ada"), ours.name("ada") == ours.name("bob"), len(ours.name("ada"))
(True, False, 18)
>>> seven, eight = ours.text("train-7 --lr 0.1"), ours.text("train-8 --lr 0.1")
>>> seven.replace("-7", "-8") == eight, "train" in seven, seven.endswith("0.1")
(True, False, True)
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from crowdrun.data.errors import ConfigError
from crowdrun.data.job import JobRequest

_KEY_BYTES = 32
_WORD = re.compile(r"[^\W\d_]+")
#: Columns that name a person or their project, and columns that are made of words.
NAMES, TEXTS = ("user", "group", "account"), ("job_name", "command", "work_dir")
#: Marks a pseudonym, so that one that is stored already is not hashed again.
_MARK = "~"


class Pseudonyms:
    """The names under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.name = lru_cache(maxsize=100_000)(self._name)
        self.text = lru_cache(maxsize=10_000)(self._text)
        self._letters = lru_cache(maxsize=100_000)(self._letters_of)

    @classmethod
    def of(cls, home: Path, *, wanted: bool) -> Self | None:
        """Those of a home folder: where it has a key, always; else, where they are wanted, under a new key.

        Raises:
            ConfigError: the key cannot be read or made.
        """
        path = home / "pseudonyms.key"
        try:
            if wanted and not path.exists():
                home.mkdir(parents=True, exist_ok=True)
                _make(path)
            key = path.read_bytes() if path.exists() else None
        except OSError as error:
            raise ConfigError(f"cannot read or make the key of pseudonyms {path}: {error.strerror}") from error
        if key is not None and len(key) != _KEY_BYTES:
            raise ConfigError(f"{path} holds {len(key)} bytes; a key of pseudonyms has {_KEY_BYTES}: restore its copy")
        return None if key is None else cls(key)

    @property
    def fingerprint(self) -> str:
        """Tells keys apart, and tells nothing else of them."""
        return self._digest("fingerprint", "")[:16]

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A job in canonical columns, its names hashed."""
        hashed = {name: self.name(row[name]) for name in NAMES if row.get(name)}
        return {**row, **hashed, **{name: self.text(row[name]) for name in TEXTS if row.get(name)}}

    def table(self, table: pa.Table) -> pa.Table:
        """Jobs in canonical columns, their names hashed."""
        for names, hashed in ((NAMES, self.name), (TEXTS, self.text)):
            for name in set(names) & set(table.column_names):
                values = [hashed(value) if value else value for value in table.column(name).to_pylist()]
                place = table.column_names.index(name)
                table = table.set_column(place, name, pa.array(values, pa.string()))
        return table

    def request(self, request: JobRequest) -> JobRequest:
        """A request, its names hashed as those of the stored jobs are."""
        told = {name: getattr(request, name) for name in (*NAMES, *TEXTS)}
        return replace(request, **{name: value for name, value in self.row(told).items() if value is not None})

    def _name(self, text: str) -> str:
        return text if text.startswith(_MARK) else f"{_MARK}{self._digest('name', text)[:17]}"

    def _text(self, text: str) -> str:
        return text if text.startswith(_MARK) else _MARK + _WORD.sub(lambda word: self._letters(word.group()), text)

    def _letters_of(self, word: str) -> str:
        # Letters alone: digits of a hash would be taken for the number of a run.
        return self._digest("word", word)[:8].translate(_DIGITS_TO_LETTERS)

    def _digest(self, kind: str, text: str) -> str:
        message = f"{kind}\0{text}".encode("utf-8", "backslashreplace")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


_DIGITS_TO_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def _make(path: Path) -> None:
    """A new key; where another process is quicker, that one's stays."""
    temporary = path.with_suffix(f".{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
