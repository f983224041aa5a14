"""What a prediction may look at: the request, its words, the clock, and what jobs like it that had ended used.

All of it is known at submit time. Values of the target's history are given relative to an **anchor** (the running mean
of the closest relation that has a history), and learners predict log2 of (value / anchor): what a tree learns of one
family then holds for families of another size.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.job import JobRequest
from crowdrun.data.queue_state import QUEUE_FIGURES, WAITS
from crowdrun.predictor.history import RELATIONS, STATISTICS, History, Key, template
from crowdrun.predictor.items import ITEM_NAMES, NO_ITEM
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.target import Target

#: Buckets for the words of the command, name and directory, and for the numbers of its flags (`--batch-size 64`).
WORD_BUCKETS = 12
NUMBER_BUCKETS = 8
LARGEST_FLAG_NUMBER = 1e18
#: Buckets of each category for learners with embeddings; unseen users and names share a bucket with seen ones.
CATEGORY_BUCKETS = 64

REQUEST_NAMES: tuple[str, ...] = (
    "log2_req_mem_mb", "log2_req_cpus", "log2_req_nodes", "log2_req_gpus", "log2_timelimit_s",
    "log2_params_m", "log2_batch_size", "hour_of_day", "day_of_week",
)  # fmt: skip
WORD_NAMES = tuple(f"words_{i}" for i in range(WORD_BUCKETS)) + tuple(f"number_{i}" for i in range(NUMBER_BUCKETS))
HISTORY_NAMES = tuple(f"{statistic} ({relation})" for relation in RELATIONS for statistic in STATISTICS)
NUMERIC_NAMES = (
    *REQUEST_NAMES, *WORD_NAMES, "request_to_anchor", "anchor_log2", "anchor_relation", *ITEM_NAMES, *HISTORY_NAMES,
)  # fmt: skip
#: Columns behind NUMERIC_NAMES, for targets that the queue decides: log2(1 + figure), waits relative to the anchor.
QUEUE_NAMES = tuple(f"queue: {name}" for name in QUEUE_FIGURES)
_QUEUE_WAITS = np.array([place for place, name in enumerate(QUEUE_FIGURES) if name.startswith(WAITS)])
#: Share of the jobs that a wait is learnt from as if nobody had looked at the queue.
WITHOUT_QUEUE = 0.1
CATEGORY_NAMES: tuple[str, ...] = ("user", "account", "partition", "job_name", "command", "gpu_type")

_FIRST_HISTORY = len(NUMERIC_NAMES) - len(HISTORY_NAMES)
_MEAN = [_FIRST_HISTORY + relation * len(STATISTICS) + STATISTICS.index("mean") for relation in range(len(RELATIONS))]
_WORD = re.compile(r"[A-Za-z]{2,}")
_FLAG_NUMBER = re.compile(r"-{1,2}([A-Za-z][\w-]*)[ =](\d+(?:\.\d+)?)(?![\w.])")


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of n jobs for one target."""

    #: (n, len(NUMERIC_NAMES)) float32, NaN where unknown; for a wait, with the columns of QUEUE_NAMES behind.
    numeric: NDArray[np.float32]
    #: (n, len(CATEGORY_NAMES)) int32 in [0, CATEGORY_BUCKETS).
    categories: NDArray[np.int32]
    #: (n,) log2 of the target that values are relative to.
    anchor: Array

    def __len__(self) -> int:
        return len(self.anchor)

    def rows(self, index: NDArray[np.intp] | slice) -> "Features":
        return Features(numeric=self.numeric[index], categories=self.categories[index], anchor=self.anchor[index])

    @classmethod
    def joined(cls, parts: "Sequence[Features]") -> "Features":
        """The rows of all parts, one after the other."""
        numeric, categories, anchor = zip(*[(one.numeric, one.categories, one.anchor) for one in parts], strict=True)
        return cls(
            numeric=np.concatenate(numeric), categories=np.concatenate(categories), anchor=np.concatenate(anchor)
        )


def request_row(request: JobRequest) -> list[float]:
    """The part of a row that speaks of the request alone: REQUEST_NAMES and WORD_NAMES."""
    now = request.submit_time or 0.0
    return [
        _log2(request.req_mem_mb),
        _log2(request.req_cpus),
        _log2(request.req_nodes),
        _log2(None if request.req_gpus is None else request.req_gpus + 1),
        _log2(request.timelimit_s),
        _log2(request.params_m),
        _log2(request.batch_size),
        now % 86400 / 3600,
        # The epoch began on a Thursday; 0 is Monday.
        float((now // 86400 + 3) % 7),
        *word_counts(f"{request.command or ''} {request.job_name or ''} {request.work_dir or ''}"),
        *flag_numbers(request.command),
    ]


def category_row(request: JobRequest) -> list[int]:
    """CATEGORY_NAMES as stable hashes."""
    texts = (
        request.user, request.account or request.group, request.partition, request.job_name, request.command,
        request.gpu_type,
    )  # fmt: skip
    return [bucket(text) for text in texts]


@lru_cache(maxsize=4096)
def bucket(text: str | None) -> int:
    """The bucket of a category, the same whatever its digits; 0 for none."""
    return crc32(template(text).encode()) % CATEGORY_BUCKETS if text else 0


def numeric_row(
    request_part: Sequence[float], keys: Sequence[Key | None], history: History, now: float,
    item_part: Sequence[float] = NO_ITEM,
) -> list[float]:  # fmt: skip
    """One row of NUMERIC_NAMES, its values of the target still absolute (see `assemble`)."""
    return [*request_part, math.nan, math.nan, math.nan, *item_part, *history.statistics(keys, now)]


def assemble(
    rows: Sequence[Sequence[float]] | Array, categories: Sequence[Sequence[int]] | NDArray[np.int32], target: Target,
    queue: Array | None = None,
) -> Features:  # fmt: skip
    """Features from rows of `numeric_row`: finds each row's anchor and makes the values relative to it.

    queue: (n, len(QUEUE_FIGURES)), for a wait; NaN where the queue is not known.
    """
    return assemble_all(rows, categories, [target], queue)


def assemble_all(
    rows: Sequence[Sequence[float]] | Array, categories: Sequence[Sequence[int]] | NDArray[np.int32],
    targets: Sequence[Target], queue: Array | None = None,
) -> Features:  # fmt: skip
    """The same of n jobs for several targets, one target after the other; categories are those of the n jobs.

    queue: (n, len(QUEUE_FIGURES)) for the target that is a wait, if there is one; None where nobody looked. Its columns
    are there if one of the targets is a wait, and unknown to the others.
    """
    numeric = np.array(rows, dtype=np.float64).reshape(-1, len(NUMERIC_NAMES))
    jobs = len(numeric) // len(targets)
    # One more column, as if all had it in common that nothing is known of them.
    means = np.empty((len(numeric), len(RELATIONS) + 1))
    means[:, :-1] = numeric.take(_MEAN, axis=1)
    means[:, -1] = np.repeat([target.first_anchor_log2 for target in targets], jobs)
    relation = (means == means).argmax(axis=1)
    closest: Array = means.take(relation + np.arange(0, means.size, means.shape[1]))
    anchor = closest.copy()
    waits = any(target.is_wait for target in targets)
    wide = np.empty((len(numeric), len(NUMERIC_NAMES) + waits * len(QUEUE_NAMES)), dtype=np.float32)
    wide[:, len(NUMERIC_NAMES) :] = np.nan
    for place, target in enumerate(targets):
        of = slice(place * jobs, (place + 1) * jobs)
        if target.is_wait:
            # What a queue holds is of one size for all: no family waits as another does times a factor.
            anchor[of] = target.first_anchor_log2
            if queue is not None:
                wide[of, len(NUMERIC_NAMES) :] = _queue_columns(queue, anchor[of])
        if target.request_column:
            numeric[of, _REQUEST_TO_ANCHOR] = numeric[of, _REQUEST_OF[target.request_column]] - anchor[of]
    # A view: the values of the target in each relation, behind the count and the age.
    history = numeric[:, _FIRST_HISTORY:].reshape(len(numeric), len(RELATIONS), len(STATISTICS))
    history[:, :, 2:] -= anchor[:, None, None]
    numeric[:, _ITEM_VALUE] -= anchor
    numeric[:, _ANCHOR] = closest
    numeric[:, _ANCHOR_RELATION] = relation
    wide[:, : len(NUMERIC_NAMES)] = numeric
    coded = np.array(categories, dtype=np.int32).reshape(-1, len(CATEGORY_NAMES))
    return Features(numeric=wide, categories=np.concatenate([coded] * len(targets)), anchor=anchor)


def some_without_queue(features: Features, seed: int) -> Features:
    """The same with the queue unknown in WITHOUT_QUEUE of the rows, so that learners know what to say without it."""
    numeric = features.numeric.copy()
    blank = np.random.default_rng(seed).random(len(features)) < WITHOUT_QUEUE
    numeric[blank, len(NUMERIC_NAMES) :] = np.nan
    return replace(features, numeric=numeric)


def _queue_columns(queue: Array, anchor: Array) -> Array:
    columns: Array = np.log2(1 + queue)
    columns[:, _QUEUE_WAITS] -= anchor[:, None]
    return columns


def _column(name: str) -> int:
    return NUMERIC_NAMES.index(name)


_REQUEST_TO_ANCHOR, _ANCHOR, _ANCHOR_RELATION, _ITEM_VALUE = (
    _column(name) for name in ("request_to_anchor", "anchor_log2", "anchor_relation", "item_value")
)
_REQUEST_OF = {
    "req_mem_mb": _column("log2_req_mem_mb"),
    "timelimit_s": _column("log2_timelimit_s"),
    "req_gpus": _column("log2_req_gpus"),
}


def _log2(value: float | None) -> float:
    return math.log2(value) if value else math.nan


def word_counts(text: str) -> list[float]:
    """How many different words of the text fall into each of WORD_BUCKETS; digits part words."""
    buckets = [0.0] * WORD_BUCKETS
    for word in set(_WORD.findall(text)):
        buckets[crc32(word.encode()) % WORD_BUCKETS] += 1.0
    return buckets


def flag_numbers(command: str | None) -> list[float]:
    """log2 of the numbers that the flags of a command set, in NUMBER_BUCKETS by the name of the flag."""
    numbers = [math.nan] * NUMBER_BUCKETS
    for flag, number in _FLAG_NUMBER.findall(command or ""):
        # A flag of hundreds of digits is no number, and infinity would spoil a fit.
        numbers[crc32(flag.encode()) % NUMBER_BUCKETS] = math.log2(1 + min(float(number), LARGEST_FLAG_NUMBER))
    return numbers
