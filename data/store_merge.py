"""Which rows are news: what a store knows of the runs of a job against one more row about it.

Knowledge of a run only grows, so that ingesting a log again changes nothing:

- A row is about the run with the same start. Another start is another run (a requeue). An unknown start is knowledge
  still missing: such a row is about the job's first run, which the first start that comes completes.
- A row is news when it knows a column that was unknown, or says that a run has ended that had not. Then what it knows
  replaces the old, unless the run had ended and the row is from before that: then it only fills gaps.
- Anything else is known already; a figure that is there is not replaced by another of the same column.

>>> run = Run(number=1, version=1, values={"start_time": 5.0, "state": "RUNNING", "peak_mem_mb": None})
>>> merged(run.values, {"start_time": 5.0, "state": "COMPLETED", "peak_mem_mb": 9.0})
{'start_time': 5.0, 'state': 'COMPLETED', 'peak_mem_mb': 9.0}
>>> merged(run.values, {"start_time": 5.0, "state": "RUNNING", "peak_mem_mb": None}) is None
True
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crowdrun.data.states import STATES

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The newest version of one run."""

    number: int
    version: int
    values: Values


def same_run(runs: Sequence[Run], row: Values) -> Run | None:
    """The run that `row` is about, None when it is a new one."""
    start = row["start_time"]
    if start is None:
        return next((run for run in runs if run.number == 1), None)
    exact = (run for run in runs if run.values["start_time"] == start)
    unstarted = (run for run in runs if run.values["start_time"] is None)
    return next(exact, None) or next(unstarted, None)


def merged(old: Values, new: Values) -> dict[str, Any] | None:
    """The next version of a run, None when `new` is no news."""
    fills = any(value is not None and old[name] is None for name, value in new.items())
    ends = _ended(new) and not _ended(old)
    if not (fills or ends):
        return None
    first, second = (old, new) if _ended(old) and not _ended(new) else (new, old)
    return {name: first[name] if first[name] is not None else second[name] for name in old}


def _ended(values: Values) -> bool:
    state = STATES.get(values["state"] or "")
    return state is not None and state.ended
