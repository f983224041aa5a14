"""What every log reader must do, whatever its format; a new reader gets one row in LOGS and passes."""

import contextlib
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import LogError, LogFormatError, LogTruncatedError
from crowdrun.data.reading import read_log
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.registry import READERS
from crowdrun.data.sources.sniff import looks_like
from crowdrun.data.states import STATES

#: A small log of each format: two jobs, 7 and 8, the first of user ada (where the format has users).
LOGS: dict[str, bytes] = {
    "sacct": b"JobID|User|State|Submit|Start|End|MaxRSS\n"
    b"7|ada|COMPLETED|2024-03-01T12:00:00|2024-03-01T12:00:01|2024-03-01T12:00:31|\n"
    b"7.batch||COMPLETED||2024-03-01T12:00:01|2024-03-01T12:00:31|5000K\n"
    b"8|bob|FAILED|2024-03-01T12:00:05|2024-03-01T12:00:06|2024-03-01T12:01:36|\n",
    "slurm-json": b'{"meta": {}, "jobs": [\n'
    b'{"job_id": 7, "association": {"user": "ada"}, "state": {"current": "COMPLETED"},'
    b' "time": {"submission": 1, "start": 2, "end": 30}},\n'
    b'{"job_id": 8, "state": {"current": ["FAILED"]}, "time": {"submission": 1, "start": 2, "end": 30}}\n]}\n',
    "pbs": b"10/16/2017 06:36:31;E;7.head;user=ada group=g jobname=a queue=batch ctime=1508131000 qtime=1508131000 "
    b"start=1508131623 end=1508150191 Exit_status=0 resources_used.mem=1048576kb resources_used.walltime=05:09:28\n"
    b"10/16/2017 06:36:32;E;8.head;user=bob group=g jobname=b queue=batch ctime=1508131000 qtime=1508131000 "
    b"start=1508131623 end=1508150191 Exit_status=1 resources_used.mem=1048576kb resources_used.walltime=05:09:28\n",
    "swf": b"; UnixStartTime: 1000000000\n"
    b"7 100 20 3600 8 3500 262144 16 7200 524288 1 3 2 5 1 -1 -1 -1\n"
    b"8 101 20 3600 8 3500 262144 16 7200 524288 0 3 2 5 1 -1 -1 -1\n",
    "nextflow": b"task_id\thash\tnative_id\tname\tstatus\texit\tsubmit\tduration\trealtime\tpeak_rss\n"
    b"7\tab/1\t70\tfit (a)\tCOMPLETED\t0\t1600000000000\t60000\t50000\t1048576\n"
    b"8\tab/2\t71\tfit (b)\tFAILED\t1\t1600000001000\t60000\t50000\t1048576\n",
    "table": b"job_id,user,state,submit_time,start_time,end_time\n7,ada,COMPLETED,1,2,30\n8,bob,FAILED,1,2,30\n",
}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}
each_format = pytest.mark.parametrize("name", LOGS)


def read(name: str, data: bytes) -> tuple[pa.Table, ReadReport]:
    report = ReadReport()
    tables = list(READERS[name]().read(io.BytesIO(data), report))
    assert all(table.schema == SCHEMA for table in tables)
    return pa.concat_tables([SCHEMA.empty_table(), *tables]), report


def test_every_reader_has_a_log_here() -> None:
    # The format of LSF has some hundred fields a line: its own tests hold the records.
    assert LOGS.keys() | {"lsf"} == READERS.keys()
    assert {name: reader.name for name, reader in READERS.items()} == {name: name for name in READERS}


@each_format
def test_the_log_is_read_counted_and_recognised(name: str) -> None:
    table, report = read(name, LOGS[name])
    assert table.column("job_id").to_pylist() == ["7", "8"]
    assert set(table.column("state").to_pylist()) <= STATES.keys()
    assert report.jobs == 2
    assert report.lines >= 2
    assert not report.rejected
    assert looks_like(LOGS[name]) == name


@each_format
@pytest.mark.parametrize("ending", COMPRESS)
def test_every_compression_is_read_from_a_file(name: str, ending: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(COMPRESS[ending](LOGS[name]))
    assert sum(table.num_rows for table in read_log(log)) == 2


@each_format
def test_a_cut_log_gives_out_what_came_before_the_cut(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log.gz"
    # Without its last bytes, which are the checksum and the length, a gzip stream is cut.
    log.write_bytes(gzip.compress(LOGS[name])[:-4])
    tables = read_log(log, name)
    rows = 0
    with contextlib.suppress(LogTruncatedError):
        for table in tables:
            rows += table.num_rows
    assert rows == 2


@each_format
@pytest.mark.parametrize("other", LOGS)
def test_a_log_of_another_format_is_an_error_that_names_what_it_looks_like(
    name: str, other: str, tmp_path: Path
) -> None:
    if name == other:
        return
    log = tmp_path / "log"
    log.write_bytes(LOGS[other])
    with pytest.raises(LogFormatError, match=f"--format {other}"):
        list(read_log(log, name))


@each_format
def test_an_empty_log_is_an_error(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for content in (b"", b" \n\n"):
        log.write_bytes(content)
        with pytest.raises(LogError, match="empty"):
            list(read_log(log, name))


@each_format
def test_a_binary_file_is_an_error(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for content in (bytes(range(256)) * 50, b"\x7fELF\x02\x01\x01" + bytes(1000), b"PK\x03\x04" + bytes(500)):
        log.write_bytes(content)
        with pytest.raises(LogFormatError, match="is no log but"):
            list(read_log(log, name))


@each_format
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_damage_crashes_the_reader(name: str, data: st.DataObject) -> None:
    log = bytearray(LOGS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(log)))
        noise = data.draw(st.binary(max_size=6) | st.sampled_from([b"|", b"\n", b"\r", b'"', b",", b"\x00", b"9" * 40]))
        log[at : at + data.draw(st.integers(0, 6))] = noise
    with contextlib.suppress(LogError):
        read(name, bytes(log))


@each_format
@settings(deadline=None, max_examples=60)
@given(noise=st.binary(max_size=400))
def test_no_bytes_crash_the_reader(name: str, noise: bytes) -> None:
    for log in (noise, LOGS[name] + noise, noise + LOGS[name]):
        with contextlib.suppress(LogError):
            read(name, log)
