"""The requests of a whole log, held against what is said of each alone."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdrun.data.columns import SCHEMA
from crowdrun.data.errors import RequestError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.features import category_row, request_row
from crowdrun.predictor.history import KEY_PARTS, RELATIONS, keys_of
from crowdrun.predictor.request_table import RequestTable

WORDS = st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["", "lm_b64", "lm_b8", "run --lr=0.1 -n 7", "٣a"]))
COUNTS = st.one_of(st.none(), st.integers(0, 9), st.integers(0, 2**40))
SIZES = st.one_of(st.none(), st.floats(0, 1e12), st.sampled_from([0.0, 1024.0]))
REQUESTS = st.fixed_dictionaries(
    dict.fromkeys(("user", "group", "account", "partition", "job_name", "command", "work_dir", "gpu_type"), WORDS)
    | dict.fromkeys(("req_nodes", "req_cpus", "req_gpus", "batch_size"), COUNTS)
    | dict.fromkeys(("submit_time", "req_mem_mb", "timelimit_s", "params_m"), SIZES)
)


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pa.Table.from_pylist([{"job_id": "1"} | row for row in rows], schema=SCHEMA).to_pandas()


@settings(max_examples=150, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=12))
def test_a_table_says_of_each_request_what_it_says_alone(rows: list[dict[str, Any]]) -> None:
    frame = frame_of(rows)
    table, everything = RequestTable(frame), slice(None)
    alone = [JobRequest.from_mapping(row) for row in frame.to_dict("records")]
    np.testing.assert_allclose(table.request_rows(everything), [request_row(one) for one in alone], rtol=1e-12)
    assert table.category_rows(everything).tolist() == [category_row(one) for one in alone]
    assert [table.request(row) for row in range(len(rows))] == alone
    keys = [keys_of(one) for one in alone]
    for relation in range(len(RELATIONS)):
        code, mine = table.relations[:, relation], [key[relation] for key in keys]
        assert (code >= 0).tolist() == [key is not None for key in mine]
        known = np.flatnonzero(code >= 0)
        assert table.keys(relation, known) == [mine[row] for row in known]
        for one in known:
            assert (code[known] == code[one]).tolist() == [mine[row] == mine[one] for row in known]


def test_every_relation_has_its_parts() -> None:
    assert len(KEY_PARTS) == len(RELATIONS)


@pytest.mark.parametrize(("name", "value"), [("req_mem_mb", -1.0), ("timelimit_s", float("inf")), ("req_cpus", -4)])
def test_a_number_that_cannot_be_one_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{name} is {value}"):
        RequestTable(frame_of([{}, {name: value}]))


def test_some_rows_are_those_of_the_whole() -> None:
    table = RequestTable(frame_of([{"user": f"u{n % 3}", "command": f"a --n {n}"} for n in range(9)]))
    some = np.array([7, 2, 2])
    np.testing.assert_array_equal(table.request_rows(some), table.request_rows(slice(None))[some])
    np.testing.assert_array_equal(table.category_rows(some), table.category_rows(slice(None))[some])
