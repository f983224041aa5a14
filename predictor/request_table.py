"""The requests of a whole log, a column at a time: what `keys_of`, `request_row` and `category_row` say of each job.

The same words and numbers come again and again in a log, so each different one is looked at once.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdrun.data.job import NUMBERS, WHOLE_NUMBERS, JobRequest
from crowdrun.predictor.features import bucket, flag_numbers, word_counts
from crowdrun.predictor.history import FAMILY, KEY_PARTS, Key, item_of, template
from crowdrun.predictor.items import Family, Item, place_of
from crowdrun.predictor.quantiles import Array

Codes = NDArray[np.int64]
Rows = NDArray[np.intp] | slice

_ASKED = ("req_mem_mb", "req_cpus", "req_gpus", "timelimit_s")


@dataclass(frozen=True, kw_only=True)
class Coded:
    """A column as codes: values[codes[row]], unknown where the code is -1."""

    codes: Codes
    values: Sequence[Hashable]

    @classmethod
    def of(cls, column: "pd.Series[str]") -> "Coded":
        codes, values = pd.factorize(column)
        if "" in values:
            codes = np.where(codes == values.get_loc(""), -1, codes)
        return cls(codes=codes.astype(np.int64), values=values.tolist())

    def map(self, change: Callable[[str], Hashable]) -> "Coded":
        """Each known value changed; different values may become one."""
        codes, values = pd.factorize(np.array([change(str(value)) for value in self.values], dtype=object))
        changed = np.append(codes, -1)[self.codes].astype(np.int64)
        return Coded(codes=changed, values=values.tolist())

    def table(self, row_of: Callable[[str | None], Sequence[float]], rows: Rows) -> Array:
        """(k, width) what a function says of each row's value, or of None."""
        used, place = np.unique(self.codes[rows], return_inverse=True)
        said = [row_of(None if code < 0 else str(self.values[code])) for code in used.tolist()]
        result: Array = np.array(said, dtype=np.float64).reshape(len(used), -1)[place]
        return result


class RequestTable:
    """The requests of n jobs (canonical columns, any of them may be absent).

    Raises:
        RequestError: a request has a number that cannot be one; says which.
    """

    def __init__(self, jobs: pd.DataFrame) -> None:
        self._jobs = jobs
        self._numbers = {name: self._number(name) for name in NUMBERS}
        texts = ("user", "group", "account", "partition", "job_name", "command", "work_dir", "gpu_type")
        self._texts = {name: self._text(name) for name in texts}

    def __len__(self) -> int:
        return len(self._jobs)

    def request(self, row: int) -> JobRequest:
        (values,) = self._jobs.iloc[[row]].to_dict("records")
        return JobRequest.from_mapping({str(name): value for name, value in values.items()})

    @cached_property
    def relations(self) -> Codes:
        """(n, len(RELATIONS)) a number for each different key of each relation; -1 for None."""
        columns = []
        for parts, needed in KEY_PARTS:
            code = np.zeros(len(self), dtype=np.int64)
            for part in parts:
                code = _pair(code, self._part(part).codes)
            known = [self._part(part).codes >= 0 for part in needed]
            columns.append(np.where(np.any(known, axis=0), code, -1) if needed else code)
        return np.stack(columns, axis=1)

    def keys(self, relation: int, rows: NDArray[np.intp]) -> list[Key]:
        """The keys of some jobs that have one, as `keys_of` writes them."""
        columns: list[list[Hashable]] = [[relation] * len(rows)]
        for part in KEY_PARTS[relation][0]:
            coded = self._part(part)
            # A name or command that is not there is an empty one.
            nothing = "" if part in {"name", "command"} else None
            columns.append([coded.values[code] if code >= 0 else nothing for code in coded.codes[rows].tolist()])
        return list(zip(*columns, strict=True))

    def families(self, rows: Rows) -> NDArray[np.object_]:
        """(k,) the family of each job (`history.FAMILY`), None where it has none."""
        codes = self.relations[rows, FAMILY]
        place = np.arange(len(self))[rows]
        _, first, same = np.unique(codes, return_index=True, return_inverse=True)
        keys = np.empty(len(first), dtype=object)
        has = codes[first] >= 0
        # One by one: numpy would take a list of tuples for a table.
        for at, key in zip(np.flatnonzero(has).tolist(), self.keys(FAMILY, place[first[has]]), strict=True):
            keys[at] = key
        return np.asarray(keys[same])

    def item_places(self) -> dict[int, tuple[Item, Family]]:
        """Row -> `place_of` its request, for the rows whose name tells an item."""
        names = self._texts["job_name"]
        tells = np.array([item_of(str(value)) is not None for value in names.values] + [False], dtype=bool)
        rows = np.flatnonzero(tells[names.codes])
        places = {}
        for row in rows.tolist():
            place = place_of(self.request(row))
            if place is not None:
                places[row] = place
        return places

    def request_rows(self, rows: Rows) -> Array:
        """(k, len(REQUEST_NAMES) + len(WORD_NAMES)), as `request_row`."""
        now = np.nan_to_num(self._numbers["submit_time"][rows], nan=0.0)
        numbers = [self._numbers[name][rows] for name in ("req_mem_mb", "req_cpus", "req_nodes", "req_gpus")]
        numbers[-1] = numbers[-1] + 1
        numbers += [self._numbers[name][rows] for name in ("timelimit_s", "params_m", "batch_size")]
        clock = [now % 86400 / 3600, (now // 86400 + 3) % 7]
        return np.column_stack([
            *[_log2(column) for column in numbers], *clock, self._words.table(_words_of, rows),
            self._texts["command"].table(flag_numbers, rows),
        ])  # fmt: skip

    def category_rows(self, rows: Rows) -> NDArray[np.int32]:
        """(k, len(CATEGORY_NAMES)), as `category_row`."""
        buckets = {name: coded.table(lambda text: [bucket(text)], rows)[:, 0] for name, coded in self._texts.items()}
        account = np.where(self._texts["account"].codes[rows] >= 0, buckets["account"], buckets["group"])
        columns = [buckets["user"], account, *[buckets[name] for name in ("partition", "job_name", "command")]]
        return np.column_stack([*columns, buckets["gpu_type"]]).astype(np.int32)

    def _part(self, name: str) -> Coded:
        return {"name": self._name, "command": self._command, "asked": self._asked}.get(name) or self._texts[name]

    @cached_property
    def _name(self) -> Coded:
        return self._texts["job_name"].map(template)

    @cached_property
    def _command(self) -> Coded:
        return self._texts["command"].map(template)

    @cached_property
    def _asked(self) -> Coded:
        """All that was requested as one; the values are tuples in the order of `keys_of`."""
        code = np.zeros(len(self), dtype=np.int64)
        for name in _ASKED:
            code = _pair(code, pd.factorize(self._numbers[name])[0])
        _, first, code = np.unique(code, return_index=True, return_inverse=True)
        columns = [_plain(name, self._numbers[name][first]) for name in _ASKED]
        return Coded(codes=code.astype(np.int64), values=list(zip(*columns, strict=True)))

    @cached_property
    def _words(self) -> Coded:
        """The text whose words count, without the digits, which part words as anything else does."""
        parts = [self._command, self._name, self._texts["work_dir"].map(template)]
        code = np.zeros(len(self), dtype=np.int64)
        for part in parts:
            code = _pair(code, part.codes)
        _, first, code = np.unique(code, return_index=True, return_inverse=True)
        texts = [[part.values[c] if c >= 0 else "" for c in part.codes[first].tolist()] for part in parts]
        return Coded(codes=code.astype(np.int64), values=[" ".join(map(str, row)) for row in zip(*texts, strict=True)])

    def _number(self, name: str) -> Array:
        if name not in self._jobs:
            return np.full(len(self), np.nan)
        values: Array = pd.to_numeric(self._jobs[name]).to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.flatnonzero(np.isinf(values) | (values < 0))
        if len(wrong):
            # Raises, in the words of the request itself.
            self.request(int(wrong[0]))
        return np.trunc(values) if name in WHOLE_NUMBERS else values

    def _text(self, name: str) -> Coded:
        if name not in self._jobs:
            return Coded(codes=np.full(len(self), -1, dtype=np.int64), values=[])
        return Coded.of(self._jobs[name])


def _pair(one: Codes, other: NDArray[np.int64] | NDArray[np.intp]) -> Codes:
    """A number for each different pair; unknown (-1) is a value of its own."""
    if not len(one):
        return one
    pairs = (one + 1) * (int(other.max()) + 2) + other + 1
    return pd.factorize(pairs)[0].astype(np.int64)


def _log2(values: Array) -> Array:
    return np.log2(np.where(values > 0, values, np.nan))


def _words_of(text: str | None) -> list[float]:
    return word_counts(text or "")


def _plain(name: str, values: Array) -> list[float | int | None]:
    whole = name in WHOLE_NUMBERS
    return [None if value != value else int(value) if whole else value for value in values.tolist()]
