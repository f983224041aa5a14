"""Tables written whole or not at all, and read back as they were."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdrun.data.columns import COLUMNS, SCHEMA, Column
from crowdrun.data.convert import WRITERS, write_tables
from crowdrun.data.errors import ConfigError, LogError, OutputError
from crowdrun.data.reading import read_log
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.table import TableReader
from crowdrun.data.states import STATES

JOBS = pa.Table.from_pylist([{"job_id": str(number), "user": "ada"} for number in range(1000)], schema=SCHEMA)
each_ending = pytest.mark.parametrize("ending", WRITERS)


def values(column: Column) -> st.SearchStrategy[Any]:
    """What a canonical column may hold."""
    if column.name == "state":
        return st.none() | st.sampled_from(sorted(STATES))
    if column.name == "gpu_util":
        return st.none() | st.floats(0, 1)
    if column.kind == "text":
        # NUL is escaped on the way in, and CR LF within a text becomes LF.
        text = st.text(st.characters(exclude_characters="\x00\r", exclude_categories=("Cs",)), min_size=1, max_size=12)
        return text if column.name == "job_id" else st.none() | text
    if column.kind == "integer":
        return st.none() | st.integers(0, 2**53)
    return st.none() | st.floats(0, 2.0**53)


rows = st.lists(st.fixed_dictionaries({column.name: values(column) for column in COLUMNS}), min_size=1, max_size=4)


@each_ending
@settings(deadline=None, max_examples=60)
@given(jobs=rows)
def test_what_is_written_is_read_back(ending: str, jobs: list[dict[str, Any]]) -> None:
    file = io.BytesIO()
    writer = WRITERS[ending](file)
    writer.write_table(pa.Table.from_pylist(jobs, schema=SCHEMA))
    writer.close()
    report = ReadReport()
    [table] = TableReader().read(io.BytesIO(file.getvalue()), report)
    assert table.to_pylist() == jobs
    assert not report.rejected
    assert not report.advice


@each_ending
def test_a_file_is_replaced_when_the_new_one_is_complete(ending: str, tmp_path: Path) -> None:
    target = tmp_path / f"jobs{ending}"
    for count in (1000, 10):
        assert write_tables([JOBS.slice(0, count)], target) == count
        assert pa.concat_tables(read_log(target)).equals(JOBS.slice(0, count))
    assert list(tmp_path.iterdir()) == [target]


@each_ending
def test_an_error_in_the_middle_leaves_the_old_file_and_nothing_else(ending: str, tmp_path: Path) -> None:
    def broken() -> Iterator[pa.Table]:
        yield JOBS
        raise LogError("the log broke off")

    target = tmp_path / f"jobs{ending}"
    target.write_text("old")
    with pytest.raises(LogError, match="broke off"):
        write_tables(broken(), target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@each_ending
def test_a_full_disk_leaves_the_old_file_and_says_so(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "crowdrun-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        target = folder / f"jobs{ending}"
        target.write_text("old")
        many = (pa.Table.from_pylist([{"job_id": os.urandom(20_000).hex()}], schema=SCHEMA) for _ in range(20))
        with pytest.raises(OutputError, match=r"No space left on device; what was there before is unchanged"):
            write_tables(many, target)
        assert target.read_text() == "old"
        assert list(folder.iterdir()) == [target]
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@each_ending
def test_a_limit_on_file_size_leaves_the_old_file_and_says_so(ending: str, tmp_path: Path) -> None:
    target = tmp_path / f"jobs{ending}"
    target.write_text("old")
    program = (
        "import os, resource, signal, sys; from pathlib import Path; import pyarrow as pa\n"
        "from crowdrun.data.columns import SCHEMA; from crowdrun.data.convert import write_tables\n"
        "from crowdrun.data.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "many = [pa.Table.from_pylist([{'job_id': os.urandom(20_000).hex()}], schema=SCHEMA)] * 20\n"
        "try: write_tables(many, Path(sys.argv[1]))\n"
        "except OutputError as error: print(error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program, str(target)], capture_output=True, text=True)
    assert os.strerror(errno.EFBIG) in answer.stdout
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_unknown_ending_and_a_missing_folder_are_errors_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.csv or \.parquet"):
        write_tables([JOBS], tmp_path / "jobs.xlsx")
    with pytest.raises(ConfigError, match="no folder"):
        write_tables([JOBS], tmp_path / "missing" / "jobs.csv")
