"""What people and simple tools do instead: rules of thumb on the last peaks, replayed as the crowd is.

A rule looks at the closest history that is not empty: the last peaks of the same user and name (digits out), else of
the same user, else of all; without any, the job keeps its request. Only jobs that had ended are seen, and only peaks
that can be believed (`has_peak`).

>>> RULES["1.5 x max"]([100.0, 300.0, 200.0]), RULES["most frequent class"]([100.0, 120.0, 300.0])
(450.0, 128.0)
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.baselines.known import EVERYTHING, Families, families_of, has_peak
from crowdrun.predictor.evaluation.allocations import request_mb
from crowdrun.predictor.learning_log import LearningLog, numbers
from crowdrun.predictor.quantiles import Array

#: The last peaks (oldest first, at least one) -> the allocation, MB.
Rule = Callable[[list[float]], float]

#: Peaks remembered of a user, or of a user's jobs of one name, and of all jobs.
OWN_WINDOW, COMMON_WINDOW = 50, 500
#: The name of the allocation that is no rule: what the user asked for.
REQUEST = "request"


def _percentile(peaks: list[float], level: float) -> float:
    """The smallest of the peaks that is at least as large as this share of them."""
    return sorted(peaks)[math.ceil(level * len(peaks)) - 1]


def _most_frequent_class(peaks: list[float]) -> float:
    """Upper bound of the power-of-two class that holds most of the peaks, the oldest of equals."""
    classes = Counter(math.ceil(math.log2(max(peak, 1.0))) for peak in peaks)
    return float(2 ** classes.most_common(1)[0][0])


RULES: dict[str, Rule] = {
    "1.2 x max of last 10": lambda peaks: 1.2 * max(peaks[-10:]),
    "95th percentile": lambda peaks: _percentile(peaks, 0.95),
    "95th percentile x 1.2": lambda peaks: 1.2 * _percentile(peaks, 0.95),
    "1.5 x max": lambda peaks: 1.5 * max(peaks),
    "most frequent class": _most_frequent_class,
}


def rule_allocations(
    log: LearningLog, families: Families | None = None, useful: NDArray[np.bool_] | None = None
) -> dict[str, Array]:
    """REQUEST and each of RULES -> (n,) MB; NaN where there is neither a history nor a request.

    families and useful (n,): by default `families_of` and `has_peak`.
    """
    request = request_mb(log)
    result = {name: request.copy() for name in (REQUEST, *RULES)}
    useful = has_peak(log) if useful is None else useful
    for row, peaks in _histories(log, families or families_of(log), useful):
        for name, rule in RULES.items():
            result[name][row] = rule(peaks)
    return result


def _histories(log: LearningLog, families: Families, useful: NDArray[np.bool_]) -> Iterator[tuple[int, list[float]]]:
    """Each job that has a history, and the closest that is not empty."""
    peak = numbers(log.jobs, "peak_mem_mb").tolist()
    own: defaultdict[Hashable, deque[float]] = defaultdict(partial(deque, maxlen=OWN_WINDOW))
    own[EVERYTHING] = deque(maxlen=COMMON_WINDOW)
    for what, row in events(log.submit_time.tolist(), log.end_time.tolist()):
        if what == "submit":
            history = next((own[key] for key in families[row] if own[key]), None)
            if history:
                yield row, list(history)
        elif useful[row]:
            for key in families[row]:
                own[key].append(peak[row])


def mean_of_last_two(log: LearningLog, value: Array) -> Array:
    """(n,) mean of the values of the user's last two ended jobs, of one where there is only one, else NaN.

    value: (n,), NaN where not measured. Source: Tsafrir, Etsion, Feitelson, "Backfilling using system-generated
    predictions rather than user runtime estimates", IEEE TPDS 18, 2007.
    """
    last: defaultdict[Hashable, deque[float]] = defaultdict(partial(deque, maxlen=2))
    result = np.full(len(log), np.nan)
    for what, row in events(log.submit_time.tolist(), log.end_time.tolist()):
        known = last[log.requests[row].user]
        if what == "end" and not np.isnan(value[row]):
            known.append(float(value[row]))
        elif what == "submit" and known:
            result[row] = sum(known) / len(known)
    return result
