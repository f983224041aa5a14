"""Writes canonical tables to one file, whole or not at all.

Text is quoted; unknown is empty; a number is written with the fewest digits that give it back exactly.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from crowdrun.data.columns import NAMES, SCHEMA
from crowdrun.data.durable import sync, unfinished_name
from crowdrun.data.errors import ConfigError, OutputError


def _csv_writer(file: BinaryIO) -> Any:
    file.write((",".join(NAMES) + "\n").encode())
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    return pa.csv.CSVWriter(file, SCHEMA, write_options=options)


def _parquet_writer(file: BinaryIO) -> Any:
    return pq.ParquetWriter(file, SCHEMA, compression="zstd")


#: Ending of the file's name -> what writes it.
WRITERS: dict[str, Callable[[BinaryIO], Any]] = {".csv": _csv_writer, ".parquet": _parquet_writer}


def check_target(target: Path) -> None:
    """Raises ConfigError when the name has an ending that nothing writes, or its folder is not there."""
    if target.suffix not in WRITERS:
        raise ConfigError(f"cannot tell how to write {target}; its name must end in {' or '.join(WRITERS)}")
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent} to write {target.name} into; make it first")


def write_tables(tables: Iterable[pa.Table], target: Path) -> int:
    """Write the rows of all tables to `target` and return how many there were.

    The file appears under its name when it is complete and on the disk; until then, and when anything fails, what was
    there before stays. An error that `tables` raises passes through.

    Raises:
        ConfigError: see `check_target`.
        OutputError: it cannot be written, the disk is full for example.
    """
    check_target(target)
    temporary = unfinished_name(target.parent)
    try:
        rows = _write(tables, target, temporary)
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error}; what was there before is unchanged"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return rows


def _write(tables: Iterable[pa.Table], target: Path, temporary: Path) -> int:
    rows = 0
    with temporary.open("wb") as file:
        writer = WRITERS[target.suffix](file)
        try:
            for table in tables:
                writer.write_table(table)
                rows += table.num_rows
        finally:
            writer.close()
    sync(temporary)
    return rows
