"""From a path or standard input to the decompressed bytes of a log, and from those to numbered lines.

Compression is recognised by the first bytes, never by the name (RFC 1952 gzip, the .xz format 1.2, RFC 8878 zstd).
Everything is read a little at a time: neither a log larger than memory nor a small file that expands to one hurts.

>>> import gzip
>>> list(numbered_lines(decompressed(io.BytesIO(gzip.compress(b"a|b\\r\\nc|d")))))
[(1, b'a|b'), (2, b'c|d')]
>>> decode(b"caf\\xe9 \\x00")
'caf\\\\xe9 \\\\x00'
"""

import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from crowdrun.data.errors import LogError, LogTruncatedError
from crowdrun.data.sources.base import ReadReport

#: A longer line is set aside: no scheduler writes one, and a broken log must not fill the memory.
MAX_LINE_BYTES = 256 * 1024
_BLOCK = 1 << 20
#: What zstd expands at once: a 4-byte block may stand for 128 KiB, so 1 KiB stays within 32 MiB.
_ZSTD_INPUT = 1024


class _Reads(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Source(io.RawIOBase):
    """The compressed bytes, counted; the first few were read to recognise the compression and are given out again."""

    def __init__(self, stream: _Reads, prefix: bytes) -> None:
        self._stream, self._prefix = stream, prefix
        self.consumed = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            data, self._prefix = self._prefix + self._stream.read(), b""
        else:
            data, self._prefix = self._prefix[:size], self._prefix[size:]
            if len(data) < size:
                data += self._stream.read(size - len(data))
        self.consumed += len(data)
        return data

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close and self._stream is not sys.stdin.buffer:
            close()
        super().close()


class _Zstd:
    """zstd frames one after the other; unlike the library's own file reader it tells a cut stream from its end."""

    def __init__(self, source: _Reads) -> None:
        self._source, self._left = source, b""
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def read1(self, _size: int = -1, /) -> bytes:
        while True:
            compressed = self._left or self._source.read(_ZSTD_INPUT)
            self._left = b""
            if not compressed:
                if self._frame is not None:
                    raise EOFError
                return b""
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            data = self._frame.decompress(compressed)
            if self._frame.eof:
                self._left, self._frame = self._frame.unused_data, None
            if data:
                return data


class _Plain:
    def __init__(self, source: _Reads) -> None:
        self._source = source

    def read1(self, size: int = -1, /) -> bytes:
        return self._source.read(size)


class _ReadsOnce(Protocol):
    def read1(self, size: int = -1, /) -> bytes: ...


#: First bytes -> name of the compression and how it is undone.
_COMPRESSIONS: dict[bytes, tuple[str, Callable[[_Source], _ReadsOnce]]] = {
    b"\x1f\x8b": ("gzip", lambda source: gzip.GzipFile(fileobj=source, mode="rb")),
    b"\xfd7zXZ\x00": ("xz", lambda source: lzma.LZMAFile(source)),  # type: ignore[arg-type]  # noqa: SIM115
    b"\x28\xb5\x2f\xfd": ("zstd", _Zstd),
}
_LONGEST_MAGIC = max(map(len, _COMPRESSIONS))


class _Decompressed(io.RawIOBase):
    """Gives out all that could be decompressed, and only then says that the stream was cut or broken."""

    def __init__(self, source: _Source, magic: bytes, name: str) -> None:
        known = (entry for first, entry in _COMPRESSIONS.items() if magic.startswith(first))
        self.compression, undo = next(known, ("none", _Plain))
        self._source, self._name, self._left = source, name, memoryview(b"")
        self._undone = undo(source)
        self.produced = self.lines = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            self._left = memoryview(self._next(len(buffer)))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _next(self, size: int) -> bytes:
        try:
            data = self._undone.read1(size)
        except EOFError as error:
            raise LogTruncatedError(
                f"{self._name} ends in the middle of its {self.compression} stream, after {self.lines} whole lines "
                f"({self.produced} bytes); those were read. Copy or compress the log again for the rest."
            ) from error
        except (lzma.LZMAError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile) as error:
            raise LogError(
                f"{self._name} is a broken {self.compression} stream after {self.lines} whole lines "
                f"({self.produced} bytes): {error}. Copy or compress the log again."
            ) from error
        except OSError as error:
            raise LogError(f"cannot read {self._name} after {self.produced} bytes: {error}") from error
        self.produced += len(data)
        self.lines += data.count(b"\n")
        return data

    @property
    def consumed(self) -> int:
        return self._source.consumed

    def close(self) -> None:
        self._source.close()
        super().close()


class LogStream(io.BufferedReader):
    """The decompressed bytes of a log. `read1` and lines are safe on a cut stream: all before the cut comes first."""

    def __init__(self, raw: _Decompressed, total: int | None) -> None:
        super().__init__(raw, _BLOCK)
        self._decompressed = raw
        #: Size of the (compressed) file, None where it is not known.
        self.total_bytes = total

    @property
    def consumed_bytes(self) -> int:
        """Compressed bytes read so far, for a progress bar."""
        return self._decompressed.consumed

    @property
    def compression(self) -> str:
        return self._decompressed.compression


def decompressed(stream: BinaryIO, *, name: str = "the log", total: int | None = None) -> LogStream:
    """The bytes of a plain, gzip, xz or zstd stream; reading raises what `open_log` says."""
    try:
        magic = stream.read(_LONGEST_MAGIC)
    except OSError as error:
        raise LogError(f"cannot read {name}: {error}") from error
    return LogStream(_Decompressed(_Source(stream, magic), magic, name), total)


def open_log(path: str | Path) -> LogStream:
    """The decompressed bytes of the log at `path`, or of standard input when it is "-".

    Raises:
        LogError: there is no such file, or it cannot be read; while reading, the compressed stream is broken.
        LogTruncatedError: while reading, the compressed stream ends in the middle; all before it was given out.
    """
    if str(path) == "-":
        return decompressed(sys.stdin.buffer, name="standard input")
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise LogError(f"cannot open the log {path}: {error.strerror}. Give a file, or - for standard input") from error
    size = path.stat().st_size if path.is_file() else None
    return decompressed(file, name=str(path), total=size)


def numbered_lines(stream: BinaryIO, report: ReadReport | None = None) -> Iterator[tuple[int, bytes]]:
    """Each line without its end (LF or CR LF) and its number from 1; NUL bytes and invalid UTF-8 pass untouched.

    Lines are counted in `report.lines`. One longer than MAX_LINE_BYTES is rejected there and not given out; without
    a report it is given out cut to that length. Memory stays within a few blocks whatever the line.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 2):
        number += 1
        if report is not None:
            report.lines = number
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            more = line
            while more and not more.endswith(b"\n"):
                more = stream.readline(_BLOCK)
            if report is not None:
                report.reject(number, f"line longer than {MAX_LINE_BYTES} bytes", decode(line[:200]))
                continue
            line = line[:MAX_LINE_BYTES]
        yield number, line.removesuffix(b"\n").removesuffix(b"\r")


def decode(line: bytes) -> str:
    """Text of a line: UTF-8, with every other byte and NUL (which no database takes) written as \\xNN."""
    return line.decode("utf-8", errors="backslashreplace").replace("\x00", "\\x00")


def clean_text(text: str) -> str:
    """The same for text that came as such (JSON): NUL and lone surrogates, which are no UTF-8, are escaped."""
    return decode(text.encode("utf-8", errors="backslashreplace"))


def chunks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Pieces of about `size` bytes; when the stream breaks off, all before comes out first and then the error."""
    read: Callable[[int], bytes] = stream.read1 if isinstance(stream, io.BufferedIOBase) else stream.read
    pieces: list[bytes] = []
    gathered = 0
    try:
        while data := read(size):
            pieces.append(data)
            gathered += len(data)
            if gathered >= size:
                yield b"".join(pieces)
                pieces, gathered = [], 0
    except LogError:
        yield b"".join(pieces)
        raise
    if pieces:
        yield b"".join(pieces)
