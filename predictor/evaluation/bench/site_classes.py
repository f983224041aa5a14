"""Accuracy with memory classes as a site offers them: nodes of 16, 64 and 256 GB and larger ones, as queues are named.

The powers of two of `classes.py` are far finer than what a person chooses from. With these classes "right" means that
the job goes to the right kind of node. The share of the most frequent class is told beside it: what a constant reaches.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.classes import Classes, Poll, likeliest_between, most_frequent_of_rows
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.metrics import accuracy_by_segment
from crowdrun.predictor.history_table import HistoryTable
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.replay import Replayed

#: Upper bounds of all classes but the last, MB.
SITE_CLASSES_MB: tuple[float, ...] = (16.0 * 1024, 64.0 * 1024, 256.0 * 1024)
_EDGES: Array = np.array([-10.0, *np.log2(SITE_CLASSES_MB), 40.0])
#: A need this little above a bound, log2, is at the bound.
_NOISE = 1e-9


def site_class(value_log2: Array) -> Classes:
    """0 for the smallest class.

    >>> site_class(np.log2([100.0, 16384.0, 16385.0, 1e6])).tolist()
    [0, 0, 1, 3]
    """
    return np.searchsorted(_EDGES[1:-1] + _NOISE, value_log2).astype(np.int64)


def site_segments(trace: Trace, replayed: Replayed, rows: NDArray[np.intp], value_log2: Array) -> dict[str, Any]:
    """Accuracy of mode, poll, crowd and each member in five consecutive parts of the judged jobs `rows`."""
    members = np.stack([_likeliest(one) for one in replayed.members])
    said = {
        "mode": _mode(trace, replayed), "poll": _poll(trace, replayed, members),
        "crowd": _likeliest(replayed.calibrated), **dict(zip(LEARNERS, members, strict=True)),
    }  # fmt: skip
    truth = site_class(value_log2)
    return {
        "classes_mb": list(SITE_CLASSES_MB),
        "largest_class_share": float(np.bincount(truth).max() / len(truth)) if len(truth) else None,
        "segments": {name: accuracy_by_segment(one[rows], truth) for name, one in said.items()},
    }


def _likeliest(quantiles: Array) -> Classes:
    """(n,) class of each distribution; -1 where there is none."""
    result = np.full(len(quantiles), -1, dtype=np.int64)
    known = ~np.isnan(quantiles[:, 0])
    result[known] = likeliest_between(quantiles[known], _EDGES)
    return result


def _mode(trace: Trace, replayed: Replayed) -> Classes:
    """The most frequent class of the closest history; -1 without one."""
    past = HistoryTable(trace.log, trace.log.values_log2(replayed.target)).closest(slice(None))
    # `most_frequent_of_rows` counts whole numbers as they are.
    return most_frequent_of_rows(np.where(np.isnan(past), np.nan, site_class(past).astype(np.float64)))


def _poll(trace: Trace, replayed: Replayed, members: Classes) -> Classes:
    """The members' vote at each submission, their odds learnt from the jobs that had ended; -1 before there is one."""
    poll, value = Poll(len(members)), replayed.value_log2
    result = np.full(len(value), -1, dtype=np.int64)
    truth = site_class(np.nan_to_num(value))
    for what, row in events(trace.log.submit_time.tolist(), trace.log.end_time.tolist()):
        if members[0, row] < 0:
            continue
        if what == "submit":
            result[row] = poll.vote(members[:, row])
        elif not np.isnan(value[row]):
            poll.observe(members[:, row], int(truth[row]))
    return result
