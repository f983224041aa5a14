"""Columns of a block of sacct lines, typed whole columns at a time.

Codes, sizes of requests and TRES strings repeat: each distinct text is parsed once, by the parsers of `units.py` and
`tres.py`, and its result given to all rows that hold it. Peaks hardly repeat and are typed as arrays.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct_layout import Layout
from crowdrun.data.sources.sacct_lines import Block
from crowdrun.data.sources.sacct_mend import PIPE
from crowdrun.data.units import MEMORY_FACTORS_MB, memory_mb

Floats = NDArray[np.float64]

#: What sacct writes where it has no time.
NO_VALUE = ("", "Unknown", "None", "NONE", "N/A")
TIMES = ("submit", "start", "end")
#: Fields whose texts are nearly all different; parsing each distinct one once gains nothing.
DISTINCT = (
    *("jobid", "jobidraw", "jobname", "submitline", "workdir", "maxrss", "averss"),
    *("tresusageintot", "tresusageinmax", "tresusageinave"),
)
REPEATING = (
    *("user", "group", "account", "partition", "qos", "state", "exitcode", "reqmem", "reqtres", "alloctres"),
    *("reqgres", "allocgres", "timelimit", "timelimitraw", "elapsed", "elapsedraw", "nnodes", "ncpus", "reqcpus"),
    *("alloccpus", "allocnodes", "ntasks", "nodelist"),
)
_USED = frozenset((*TIMES, *DISTINCT, *REPEATING))
_SIZE_UNITS = "".join(MEMORY_FACTORS_MB)


class Columns:
    """The columns of one block, each by sacct's name in small letters."""

    def __init__(self, block: Block, layout: Layout, timezone: str, report: ReadReport) -> None:
        self._report, self._timezone = report, timezone
        self._pipe = block.mended
        # A name that comes twice is taken where it comes first.
        self._at = {name: layout.names.index(name) for name in layout.names if name in _USED}
        times = {str(at): pa.timestamp("s") for name, at in self._at.items() if name in TIMES}
        try:
            self._table = self._parse(block, layout, times)
        except pa.ArrowInvalid:
            # Some time is not written as usual: all of them are read one distinct text at a time.
            self._table = self._parse(block, layout, {key: pa.dictionary(pa.int32(), pa.string()) for key in times})

    def _parse(self, block: Block, layout: Layout, times: dict[str, pa.DataType]) -> pa.Table:
        texts = {
            str(at): pa.string() if name in DISTINCT else pa.dictionary(pa.int32(), pa.string())
            for name, at in self._at.items()
            if name not in TIMES
        }
        return pa.csv.read_csv(
            pa.BufferReader(block.data),
            read_options=pa.csv.ReadOptions(
                column_names=[str(at) for at in range(len(layout.names))], block_size=max(len(block.data), 1) + 1
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter="|", quote_char=False, double_quote=False, ignore_empty_lines=False
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=[str(at) for at in self._at.values()],
                column_types=texts | times,
                null_values=list(NO_VALUE),
                strings_can_be_null=False,
                # `_clean` has made it UTF-8.
                check_utf8=False,
            ),
        ).combine_chunks()

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def filter(self, mask: NDArray[np.bool_]) -> "Columns":
        """The rows where `mask` is true."""
        part = object.__new__(Columns)
        part.__dict__ = self.__dict__ | {"_table": self._table.filter(pa.array(mask))}
        return part

    def raw(self, name: str) -> pa.Array:
        """A column as it was parsed."""
        column = self._table.column(str(self._at[name]))
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)

    def text(self, name: str, *, unknown: tuple[str, ...] = NO_VALUE[:1]) -> pa.Array:
        """Strings; null where empty or one of `unknown`, or where this output lacks the field."""
        if name not in self:
            return pa.nulls(len(self), pa.string())
        column = self.raw(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if self._pipe:
            column = pc.replace_substring(column, PIPE.decode(), "|")
        return pc.if_else(pc.is_in(column, pa.array(unknown)), None, column)

    def mapped(self, name: str, parse: Callable[[str], Any], missing: Any) -> NDArray[Any]:
        """What `parse` makes of each text, `missing` for empty ones; one it cannot read is missing, and counted."""
        if name not in self:
            return np.full(len(self), missing)
        column = self.raw(name)
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        texts = column.dictionary.to_pylist()
        values = np.empty(len(texts) + 1, dtype=np.asarray(missing).dtype)
        values[:] = missing
        unreadable = np.zeros(len(texts) + 1, bool)
        for at, text in enumerate(texts):
            if text in NO_VALUE:
                continue
            try:
                values[at] = parse(text)
            except (ValueError, OverflowError):
                unreadable[at] = True
        indices = np.asarray(pc.fill_null(column.indices, len(texts)))
        if unreadable.any():
            self._report.repaired[f"{name} that cannot be read taken as unknown"] += int(unreadable[indices].sum())
        result: NDArray[Any] = values[indices]
        return result

    def is_batch(self) -> NDArray[np.bool_]:
        """Which rows are the job's script."""
        return np.asarray(pc.ends_with(self.raw("jobid" if "jobid" in self else "jobidraw"), ".batch"))

    def sizes_mb(self, name: str) -> Floats:
        """MB of a column of sizes; NaN where empty."""
        return self._sizes_mb(name, self.raw(name)) if name in self else np.full(len(self), np.nan)

    def usage_mb(self, name: str, item: str) -> Floats:
        """The size after `item=` in a column of TRES usage, MB; NaN where it has none."""
        return self._sizes_mb(name, self._usage(name, item)) if name in self else np.full(len(self), np.nan)

    def usage_number(self, name: str, item: str) -> Floats:
        """The number after `item=` in a column of TRES usage; NaN where it has none."""
        # A size without a unit is a number.
        return self.usage_mb(name, item)

    def _usage(self, name: str, item: str) -> pa.Array:
        texts = self.raw(name)
        if not pc.any(pc.match_substring(texts, f"{item}=")).as_py():
            return pa.repeat("", len(self))
        found = pc.extract_regex(texts, rf"(?:^|,){item}=(?P<value>[^,]*)")
        return pc.fill_null(pc.struct_field(found, "value"), "")

    def _sizes_mb(self, name: str, texts: pa.Array) -> Floats:
        empty = pc.equal(texts, "")
        try:
            numbers = pc.cast(pc.if_else(empty, "nan", pc.utf8_rtrim(texts, characters=_SIZE_UNITS)), pa.float64())
        except pa.ArrowInvalid:
            return self._sizes_one_by_one(name, texts)
        units = pc.utf8_slice_codeunits(texts, -1)
        factors = np.ones(len(texts))
        for unit, factor in MEMORY_FACTORS_MB.items():
            if unit and factor != 1:
                factors[np.asarray(pc.equal(units, unit))] = factor
        result: Floats = np.asarray(numbers) * factors
        return result

    def _sizes_one_by_one(self, name: str, texts: pa.Array) -> Floats:
        result = np.full(len(texts), np.nan)
        for at, text in enumerate(texts.to_pylist()):
            try:
                result[at] = memory_mb(text) if text else np.nan
            except ValueError:
                self._report.repaired[f"{name} that cannot be read taken as unknown"] += 1
        return result

    def times(self, name: str) -> Floats:
        """UTC epoch seconds; NaN where unknown."""
        if name not in self:
            return np.full(len(self), np.nan)
        column = self.raw(name)
        if not pa.types.is_timestamp(column.type):
            zone = ZoneInfo(self._timezone)
            return self.mapped(name, lambda text: _epoch_s(text, zone), np.nan)
        if self._timezone != "UTC":
            # In the hour that comes twice in autumn nothing tells which it is: the first.
            column = pc.assume_timezone(column, self._timezone, ambiguous="earliest", nonexistent="earliest")
        return np.asarray(pc.cast(pc.cast(column, pa.int64()), pa.float64()).fill_null(np.nan))


def _epoch_s(text: str, zone: ZoneInfo) -> float:
    """Seconds of a time as SLURM_TIME_FORMAT may have it: ISO 8601 with or without zone, or epoch seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
