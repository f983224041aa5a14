"""A stretch in another unit is kept aside, whole; what is merely unusual is not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.kept_aside import right_units
from crowdrun.data.reading import load_jobs
from crowdrun.data.unit_guard import UnitGuard

USERS = 12


def jobs_of(n: int, seed: int, users: int = USERS) -> list[dict[str, Any]]:
    """n jobs a minute apart; each user has a size of its own."""
    rng = np.random.default_rng(seed)
    sizes = 2 ** rng.uniform(7, 15, users)
    jobs = []
    for number in range(n):
        user = int(rng.integers(users))
        jobs.append({
            "job_id": str(number), "user": f"user{user}", "job_name": f"train-{number}", "start_time": 60.0 * number,
            "end_time": 60.0 * number + 600, "peak_mem_mb": float(sizes[user] * rng.lognormal(0, 0.3)),
        })  # fmt: skip
    return jobs


def off_by(jobs: list[dict[str, Any]], factor: float, stretch: slice) -> list[dict[str, Any]]:
    wrong = {job["job_id"] for job in jobs[stretch]}
    return [job | {"peak_mem_mb": job["peak_mem_mb"] * (factor if job["job_id"] in wrong else 1)} for job in jobs]


def through(jobs: list[dict[str, Any]]) -> tuple[UnitGuard, list[str], list[str]]:
    """The guard, the ids that it gave back, and those that it kept aside."""
    guard = UnitGuard()
    kept = [one["job_id"] for job in jobs for one in guard.admit(job)] + [job["job_id"] for job in guard.close()]
    return guard, kept, [job["job_id"] for job in guard.take_refused()]


@pytest.mark.parametrize("factor", [1024.0, 1 / 1024, 1024.0**2])
@pytest.mark.parametrize("seed", range(5))
def test_a_stretch_in_another_unit_is_kept_aside_and_nothing_else(factor: float, seed: int) -> None:
    jobs = jobs_of(1000, seed)
    guard, kept, refused = through(off_by(jobs, factor, slice(500, 700)))
    assert refused == [str(number) for number in range(500, 700)]
    assert kept == [str(number) for number in [*range(500), *range(700, 1000)]]
    assert [finding.power for finding in guard.findings] == [round(np.log2(factor) / 10)]
    assert guard.findings[0].first_end_time == jobs[500]["end_time"]
    assert guard.findings[0].last_end_time == jobs[699]["end_time"]


def test_it_is_noticed_within_twenty_jobs_and_an_unfinished_stretch_stays_aside() -> None:
    guard = UnitGuard()
    for job in jobs_of(500, seed=7):
        guard.admit(job)
    noticed_after = next(
        after
        for after, job in enumerate(off_by(jobs_of(600, seed=7), 1024.0, slice(500, None))[500:], start=1)
        if not guard.admit(job) and guard.findings
    )
    assert noticed_after <= 20
    assert guard.close() == []


@pytest.mark.parametrize("seed", range(20))
def test_quiet_logs_and_doublings_raise_no_alarm(seed: int) -> None:
    jobs = jobs_of(2000, seed)
    for job in jobs[1000:]:
        job["peak_mem_mb"] *= 2.0 if job["user"] in {"user1", "user2"} else 1.0
    guard, kept, _ = through(jobs)
    assert not guard.findings
    assert len(kept) == 2000


def test_one_family_that_really_needs_a_thousand_times_as_much_is_learnt() -> None:
    jobs = [
        job | {"peak_mem_mb": job["peak_mem_mb"] * (1024 if number >= 500 and job["user"] == "user3" else 1)}
        for number, job in enumerate(jobs_of(1000, seed=3))
    ]
    guard, kept, refused = through(jobs)
    assert not guard.findings
    assert not refused
    assert sorted(kept, key=int) == [job["job_id"] for job in jobs]


def test_new_users_within_a_stretch_share_its_fate_and_after_it_they_do_not() -> None:
    jobs = off_by(jobs_of(1000, seed=4), 1024.0, slice(500, 700))
    for number in [*range(600, 640, 4), *range(760, 800, 4)]:
        jobs[number]["user"] = f"newcomer{number}"
    _, kept, refused = through(jobs)
    assert refused == [str(number) for number in range(500, 700)]
    assert len(kept) == 800


def test_jobs_that_tell_nothing_pass_at_once() -> None:
    guard = UnitGuard()
    silent: list[dict[str, Any]] = [
        {"peak_mem_mb": None},
        {"peak_mem_mb": float("nan"), "start_time": 0.0, "end_time": 99.0},
        {"peak_mem_mb": 5.0, "start_time": 0.0, "end_time": 2.0},
        {"peak_mem_mb": 5.0, "start_time": None, "end_time": 2.0},
    ]
    assert [guard.admit(job) for job in silent] == [[job] for job in silent]


def test_a_table_is_judged_in_the_order_of_its_ends() -> None:
    jobs = pd.DataFrame(off_by(jobs_of(1000, seed=5), 1024.0, slice(500, 700))).assign(command=None)
    right, findings = right_units(jobs.sample(frac=1, random_state=0))
    assert findings[0].jobs == 200
    assert (~right).sum() == 200


@pytest.mark.parametrize(
    ("name", "read"),
    [("iu-mason-2017.pbs-accounting.xz", "pbs"), ("xdmod-pozidriv.sacct.xz", "sacct")],
)
def test_real_logs_raise_no_alarm(traces: Any, name: str, read: str) -> None:
    load: Callable[..., pd.DataFrame] = load_jobs
    assert not right_units(load([traces / name], read))[1]
