"""What is news: properties of the rules by which knowledge of a run grows."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crowdrun.data.columns import NAMES
from crowdrun.data.store import _plan
from crowdrun.data.store_merge import Run, merged

UNKNOWN: dict[str, Any] = dict.fromkeys(NAMES)

rows = st.builds(
    lambda **known: UNKNOWN | {"job_id": "1"} | known,
    start_time=st.sampled_from([None, 10.0, 20.0]),
    state=st.sampled_from([None, "PENDING", "RUNNING", "COMPLETED", "FAILED"]),
    peak_mem_mb=st.sampled_from([None, 1.0, 2.0]),
    model=st.sampled_from([None, "resnet18", "vgg11"]),
)


def known_names(values: dict[str, Any]) -> set[str]:
    return {name for name, value in values.items() if value is not None}


@given(st.lists(rows, max_size=8))
def test_rows_in_any_order_are_all_known_when_they_come_again(log: list[dict[str, Any]]) -> None:
    known: dict[bytes, list[Run]] = defaultdict(list)
    keys = [b"1"] * len(log)
    _plan(log, keys, known)
    runs = {run.number: run for run in known[b"1"]}
    again, versions = _plan(log, keys, known)
    assert (again.new, versions) == (0, [])
    assert {run.number: run for run in known[b"1"]} == runs


@given(st.lists(rows, max_size=8))
def test_versions_of_a_run_count_up_and_never_know_less(log: list[dict[str, Any]]) -> None:
    _, versions = _plan(log, [b"1"] * len(log), defaultdict(list))
    by_run: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for version in versions:
        by_run[version["run"]].append(version)
    for grown in by_run.values():
        assert [version["version"] for version in grown] == list(range(1, len(grown) + 1))
        for older, newer in pairwise(grown):
            assert known_names(older) <= known_names(newer)


@given(rows, rows)
def test_a_run_that_has_ended_never_becomes_one_that_goes_on(old: dict[str, Any], new: dict[str, Any]) -> None:
    result = merged(old, new)
    if result and old["state"] in ("COMPLETED", "FAILED"):
        assert result["state"] in ("COMPLETED", "FAILED")
