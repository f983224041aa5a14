"""Opening logs: every compression, cut and broken streams, lines of any kind."""

import gzip
import io
import lzma
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from crowdrun.data.errors import LogError, LogTruncatedError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.stream import MAX_LINE_BYTES, chunks, decode, decompressed, numbered_lines, open_log

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": partial(lzma.compress, preset=0),
    # Without its checksum, a zstd frame hides a changed byte: `zstd` writes it, the library only when told.
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
each_compression = pytest.mark.parametrize("compression", COMPRESS)
LOG = b"".join(b"%d|%x\n" % (number, random.Random(number).getrandbits(128)) for number in range(20_000))


def until_error(items: Iterable[Any]) -> tuple[list[Any], LogError | None]:
    """What came out, and the error that ended it."""
    came = []
    try:
        for item in items:
            came.append(item)  # noqa: PERF402 (a comprehension would lose what came before the error)
    except LogError as error:
        return came, error
    return came, None


@each_compression
def test_compression_is_recognised_by_the_bytes_and_not_by_the_name(compression: str, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(COMPRESS[compression](LOG))
    with open_log(log) as stream:
        assert stream.read() == LOG
        assert stream.compression == compression
        assert stream.consumed_bytes == stream.total_bytes == log.stat().st_size


@each_compression
def test_streams_put_one_after_the_other_are_read_as_one(compression: str) -> None:
    part = COMPRESS[compression](LOG)
    assert decompressed(io.BytesIO(part + part)).read() == LOG + LOG


@each_compression
def test_a_truncated_stream_gives_out_its_lines_and_then_says_how_many(compression: str) -> None:
    cut = COMPRESS[compression](LOG)[:-20_000]
    numbered, error = until_error(numbered_lines(decompressed(io.BytesIO(cut), name="cut.log")))
    lines = [line for _, line in numbered]
    assert lines == LOG.split(b"\n")[: len(lines)]
    assert len(lines) > 1000
    assert isinstance(error, LogTruncatedError)
    assert f"cut.log ends in the middle of its {compression} stream, after {len(lines)} whole lines" in str(error)


@each_compression
def test_a_broken_stream_is_an_error_of_ours(compression: str) -> None:
    data = bytearray(COMPRESS[compression](LOG))
    data[len(data) // 2] ^= 0x55
    with pytest.raises(LogError, match="broken"):
        list(numbered_lines(decompressed(io.BytesIO(bytes(data)))))


def test_a_folder_and_a_missing_file_are_errors_that_name_them(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(LogError, match=str(path)):
            open_log(path)


def test_standard_input_is_read_and_left_open() -> None:
    program = (
        "import sys; from crowdrun.data.sources.stream import open_log\n"
        "with open_log('-') as stream: print(stream.read().decode())\n"
        "print(sys.stdin.buffer.closed)"
    )
    answer = subprocess.run([sys.executable, "-c", program], input=gzip.compress(b"a|b"), capture_output=True)
    assert answer.stdout == b"a|b\nFalse\n"


def test_a_line_that_is_too_long_is_rejected_and_the_next_has_the_right_number() -> None:
    report = ReadReport()
    data = b"a\r\n" + b"x" * 1_000_000 + b"\nb\n" + b"y" * (MAX_LINE_BYTES + 1)
    assert list(numbered_lines(decompressed(io.BytesIO(data)), report)) == [(1, b"a"), (3, b"b")]
    assert [rejection.line for rejection in report.rejections] == [2, 4]
    assert report.lines == 4


def test_nul_bytes_and_other_encodings_are_escaped() -> None:
    assert decode(b"caf\xe9|\x00|\xc3\xa9") == "caf\\xe9|\\x00|é"


def test_chunks_of_a_cut_stream_come_before_its_error() -> None:
    pieces, error = until_error(chunks(decompressed(io.BytesIO(COMPRESS["xz"](LOG)[:-5000])), 1 << 16))
    assert isinstance(error, LogTruncatedError)
    assert LOG.startswith(b"".join(pieces))
    assert sum(map(len, pieces)) > len(LOG) // 2
