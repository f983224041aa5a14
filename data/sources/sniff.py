"""Which format a log looks like, from its first bytes.

>>> looks_like(b"JobID|User|State\\n1|ada|COMPLETED\\n"), looks_like(b"job_id,user\\n1,ada\\n"), looks_like(b"hello\\n")
('sacct', 'table', None)
>>> binary_kind(b"\\x7fELF\\x02\\x01"), binary_kind(b"JobID|User\\x00\\n")
('an ELF program', None)
"""

import re
from collections.abc import Callable

from crowdrun.data.errors import LogFormatError
from crowdrun.data.sources.nextflow import REQUIRED as NEXTFLOW_REQUIRED
from crowdrun.data.sources.sacct_layout import from_first_line
from crowdrun.data.sources.stream import decode
from crowdrun.data.sources.table import PARQUET_MAGIC

#: First bytes -> what such a file is; none of them is a log.
_BINARIES: dict[bytes, str] = {
    b"PK\x03\x04": "a zip archive (unpack it first)",
    b"BZh": "bzip2-compressed (compress it with gzip, xz or zstd instead)",
    b"\x7fELF": "an ELF program",
    b"SQLite format 3\x00": "an SQLite database",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x04\x22\x4d\x18": "lz4-compressed (compress it with gzip, xz or zstd instead)",
}
#: Bytes that no text holds; a log with a few of them is damaged, one with many is none.
_NO_TEXT = bytes(set(range(32)) - set(b"\t\n\r\x0b\x0c\x1b\x1e\x1f"))
_MOST_NO_TEXT = 0.1
_TAR_MAGIC_AT = 257


def binary_kind(head: bytes) -> str | None:
    """What a file with these first bytes is when it is not text, else None."""
    for magic, kind in _BINARIES.items():
        if head.startswith(magic):
            return kind
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return "a tar archive (unpack it first)"
    no_text = len(head) - len(head.translate(None, _NO_TEXT))
    invalid = decode(head).count("\\x") - no_text
    return "binary" if no_text + max(invalid - 8, 0) > _MOST_NO_TEXT * len(head) else None


def looks_like(head: bytes) -> str | None:
    """The name of the format, as in the registry; None where it looks like none of them."""
    return next((name for name, check in _CHECKS.items() if check(head)), None)


def first_line(head: bytes) -> str:
    """The first line that is not empty."""
    return next((decode(line) for line in head.splitlines() if line.strip()), "").removeprefix("\ufeff")


def _is_sacct(head: bytes) -> bool:
    try:
        from_first_line(first_line(head))
    except LogFormatError:
        return False
    return True


def _is_swf(head: bytes) -> bool:
    line = next((line for line in decode(head).splitlines() if line.strip() and not line.startswith(";")), "")
    return bool(re.match(r"^\s*-?\d+(\s+-?\d+(\.\d+)?){17}\s*$", line)) or (
        head.lstrip().startswith(b";") and bool(re.search(rb"^;\s*(Unix|Max|Computer|Version|Acknowledge)", head, re.M))
    )


def _is_nextflow(head: bytes) -> bool:
    names = {name.strip().strip('"') for name in re.split(r"[\t,]", first_line(head))}
    return names >= set(NEXTFLOW_REQUIRED)


def _matches(pattern: str) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern)
    return lambda head: bool(compiled.search(first_line(head)))


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "sacct": _is_sacct,
    "slurm-json": lambda head: head.lstrip().startswith(b"{"),
    "pbs": _matches(r"^\d\d/\d\d/\d{4} \d\d:\d\d:\d\d(\.\d+)?;\w+;"),
    "lsf": _matches(r'^"?[A-Z][A-Z_0-9]+"? "?\d+\.'),
    "nextflow": _is_nextflow,
    "table": lambda head: head.startswith(PARQUET_MAGIC) or "job_id" in first_line(head).replace('"', "").split(","),
    "swf": _is_swf,
}
