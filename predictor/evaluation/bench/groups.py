"""Is the promise kept for each user, queue and job family? Coverage over a rolling window, group by group."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.quantiles import Array, at_logit, logit

#: Scored jobs of a window, and that a group must have.
WINDOW = 200
LEVELS: Array = np.array([0.9, 0.95, 0.99])
#: The level whose course is kept for the plot, at so many places.
SHOWN, PLACES = 0.95, 60


def groups_of(trace: Trace, rows: NDArray[np.intp]) -> dict[tuple[str, str], NDArray[np.intp]]:
    """(kind, name) -> positions in rows of the jobs of each user, queue and family with WINDOW jobs or more."""
    found: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for place, row in enumerate(rows.tolist()):
        for group in _groups(trace, row):
            found[group].append(place)
    return {group: np.array(places) for group, places in found.items() if len(places) >= WINDOW}


def _groups(trace: Trace, row: int) -> Iterator[tuple[str, str]]:
    request = trace.log.requests[row]
    if request.user:
        yield "user", request.user
    if request.partition:
        yield "queue", request.partition
    family = trace.families[row][0]
    yield "family", " / ".join(str(part) for part in family) if isinstance(family, tuple) else str(family)


def coverage_of_groups(
    trace: Trace, rows: NDArray[np.intp], quantiles: Array, value_log2: Array
) -> list[dict[str, Any]]:
    """One entry a group, the worst first.

    rows: (k,) of the log, in its order; quantiles (k, levels), value_log2 (k,).
    """
    covered = at_logit(quantiles, logit(LEVELS)) + 1e-9 >= value_log2[:, None]
    shown = LEVELS.tolist().index(SHOWN)
    entries = []
    for (kind, name), places in groups_of(trace, rows).items():
        rolling = rolling_share(covered[places])
        worst = rolling[np.abs(rolling - LEVELS).argmax(axis=0), np.arange(len(LEVELS))]
        steps = np.unique(np.linspace(0, len(rolling) - 1, PLACES).astype(np.intp))
        entries.append({
            "kind": kind, "group": name, "jobs": len(places),
            "coverage": _by_level(covered[places].mean(axis=0)),
            "worst": _by_level(worst),
            "deviation": float(np.abs(worst - LEVELS).max()),
            # Where in the judged part each shown window ends, and its share.
            "course": [
                [float(places[step + WINDOW - 1] / len(rows)), float(rolling[step, shown])] for step in steps
            ],
        })  # fmt: skip
    return sorted(entries, key=lambda one: -float(one["deviation"]))


def rolling_share(covered: NDArray[np.bool_]) -> Array:
    """(n - WINDOW + 1, levels) the share of each window of WINDOW rows. covered: (n, levels), n >= WINDOW."""
    total = np.concatenate([np.zeros((1, covered.shape[1])), np.cumsum(covered, axis=0)])
    result: Array = (total[WINDOW:] - total[:-WINDOW]) / WINDOW
    return result


def _by_level(shares: Array) -> dict[str, float]:
    return {f"{100 * level:g}": float(share) for level, share in zip(LEVELS, shares, strict=True)}
