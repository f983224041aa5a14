"""The log that is shipped: it is real, it parses, and it holds what its README says."""

import json
import lzma
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct import SacctReader
from crowdrun.data.sources.slurm_json import SlurmJsonReader
from crowdrun.data.sources.stream import open_log

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "data" / "samples"
LOG = SAMPLES / "training-jobs.sacct.xz"
JSON = ROOT / "tests" / "data" / "fixtures" / "training-jobs.sacct.json"
README = (SAMPLES / "README.md").read_text("utf-8")
#: Runs of less than this are not measured well: memory was sampled once a second.
SHORT_S = 10


@pytest.fixture(scope="module")
def raw() -> list[dict[str, str]]:
    """The lines of the log, steps included, by column."""
    heading, *lines = lzma.decompress(LOG.read_bytes()).decode().splitlines()
    names = heading.split("|")
    return [dict(zip(names, line.split("|"), strict=True)) for line in lines]


@pytest.fixture(scope="module")
def jobs() -> pa.Table:
    """The log as crowdrun reads it, one row a run of a job."""
    report = ReadReport()
    with open_log(LOG) as stream:
        table = pa.concat_tables(SacctReader().read(stream, report))
    assert not report.rejected
    assert not report.advice
    return table


def stated(heading: str) -> dict[str, int]:
    """The rows `| name | number |` of the README's table with this heading."""
    table = README.partition(f"| {heading} | ")[2].partition("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^\| `?([^|`]+?)`? \| (\d+) \|", table, flags=re.MULTILINE)}


def lengths_s(jobs: pa.Table) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(pc.subtract(jobs["end_time"], jobs["start_time"]).to_numpy(), dtype=float)


def test_the_log_holds_the_ends_that_its_readme_states(raw: list[dict[str, str]]) -> None:
    ends = Counter(line["State"].split()[0] for line in raw if "." not in line["JobID"])
    assert dict(ends) == stated("state")
    assert sum(ends.values()) >= 400


def test_the_log_is_small_enough_to_ship() -> None:
    assert LOG.stat().st_size < 400_000


def test_every_line_has_every_column_and_no_folder_of_the_machine(raw: list[dict[str, str]]) -> None:
    assert {line["WorkDir"].split("/")[1] for line in raw if line["WorkDir"]} == {"home"}
    assert not [line for line in raw if re.search(r"/(tmp|root|opt|work)\b", line["SubmitLine"])]


def test_crowdrun_reads_each_run_of_each_job(raw: list[dict[str, str]], jobs: pa.Table) -> None:
    assert jobs.num_rows == sum("." not in line["JobID"] for line in raw)
    assert set(jobs["user"].to_pylist()) == {"user1", "user2", "user3", "user4"}


def test_most_jobs_ran_long_enough_for_a_believable_peak(jobs: pa.Table) -> None:
    believable = (lengths_s(jobs) >= SHORT_S) & (jobs["peak_mem_mb"].to_numpy() > 100)
    assert int(believable.sum()) == stated("what")["runs of 10 s or more with a peak of over 100 MB"]
    assert int(believable.sum()) >= 300


def test_the_requests_are_as_wasteful_as_the_readme_states(jobs: pa.Table) -> None:
    long = jobs.filter(pa.array(lengths_s(jobs) >= SHORT_S))
    ratio = long["req_mem_mb"].to_numpy() / long["peak_mem_mb"].to_numpy()
    assert round(float(np.nanmedian(ratio))) == stated("what")["median of memory asked for over memory held"]


def test_a_step_that_died_for_memory_is_seen_in_a_job_that_ended_well(
    raw: list[dict[str, str]], jobs: pa.Table
) -> None:
    said = sum(line["State"] == "OUT_OF_MEMORY" and "." not in line["JobID"] for line in raw)
    read = jobs["state"].to_pylist().count("OUT_OF_MEMORY")
    assert read - said == stated("what")["COMPLETED jobs with a step that ran out of memory"]


def test_the_json_of_a_part_of_it_tells_the_same(jobs: pa.Table) -> None:
    with JSON.open("rb") as stream:
        table = pa.concat_tables(SlurmJsonReader().read(stream, ReadReport()))
    assert table.num_rows == len(json.loads(JSON.read_text("utf-8"))["jobs"])
    run = ("job_id", "end_time", "user", "job_name", "req_mem_mb", "req_gpus", "state")
    known = {tuple(row[name] for name in run) for row in jobs.to_pylist()}
    assert not [row for row in table.to_pylist() if tuple(row[name] for name in run) not in known]
