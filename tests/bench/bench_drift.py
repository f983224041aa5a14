"""How soon an injected drift is noticed, how often a quiet log raises an alarm, and how coverage comes back.

Synthetic clusters (`tests/predictor/retraining/conftest.py`), a seed each: a crowd of three members is trained on 1,500
jobs; the drift begins 500 jobs later. The seeds differ from those on which the detectors were set (docs/log.md).
"""

from collections.abc import Sequence

import numpy as np

from crowdrun.data.kept_aside import right_units
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.retraining.drift import alarms
from crowdrun.predictor.retraining.follow import Course, follow, frozen
from crowdrun.predictor.target import TARGETS
from crowdrun.predictor.target_settings import TargetSettings
from tests.predictor.retraining.conftest import Drift, make_cluster

SEEDS = range(30, 40)
TRAINED, QUIET, DRIFTED, LONG_QUIET = 1500, 500, 1000, 10_000
MEMBERS = TargetSettings(members=("recent", "neighbours", "linear"))
#: Jobs after the drift between which coverage is told.
WINDOWS = ((-QUIET, 0), (0, 100), (100, 500), (500, DRIFTED))


def main() -> str:
    lines = [
        "| drift | noticed after, jobs (each seed) | median | coverage of 95% before, in 100, to 500, then |",
        "|---|---|---|---|",
    ]
    for drift in ("family", "cohort"):
        told = [_drifted(drift, seed) for seed in SEEDS]
        delays = [delay for delay, _ in told]
        coverage = np.mean([share for _, share in told], axis=0)
        shares = ", ".join(f"{share:.1%}" for share in coverage)
        known = [np.inf if delay is None else delay for delay in delays]
        lines.append(f"| {drift} | {', '.join(map(str, delays))} | {np.median(known):.0f} | {shares} |")
    false = [_quiet(seed) for seed in SEEDS]
    unit = [_unit(seed) for seed in SEEDS]
    return "\n".join([
        "## drift", "", *lines, "",
        f"False alarms in {LONG_QUIET:,} quiet jobs, each seed: {', '.join(map(str, false))}.",
        f"Unit errors (200 jobs in KB): kept aside {', '.join(f'{right}+{wrong} wrongly' for right, wrong in unit)}.",
    ])  # fmt: skip


def _prepared(jobs_after: int, seed: int, drift: Drift) -> tuple[Crowd, Course]:
    jobs = make_cluster(TRAINED + jobs_after, seed=seed, drift=drift, at=TRAINED + QUIET)
    crowd = Crowd.train(jobs[:TRAINED], settings={target.name: MEMBERS for target in TARGETS})
    return Crowd({"mem_mb": crowd.models["mem_mb"]}, {}, crowd.summary), Course.of(jobs[TRAINED:])


def _noticed(crowd: Crowd, course: Course) -> Sequence[int]:
    known = set(crowd.models["mem_mb"].history.trails)
    return [alarm.after for alarm in alarms(course.log, frozen(crowd, course)["mem_mb"], known)]


def _drifted(drift: Drift, seed: int) -> tuple[int | None, Sequence[float]]:
    crowd, course = _prepared(QUIET + DRIFTED, seed, drift)
    delay = next((after - QUIET for after in _noticed(crowd, course) if after > QUIET), None)
    covered = follow(crowd, course)["mem_mb"].covered
    return delay, [float(np.nanmean(covered[QUIET + first : QUIET + last])) for first, last in WINDOWS]


def _quiet(seed: int) -> int:
    return len(_noticed(*_prepared(LONG_QUIET, seed, "none")))


def _unit(seed: int) -> tuple[int, int]:
    jobs = make_cluster(TRAINED + DRIFTED, seed=seed, drift="unit", at=TRAINED, until=TRAINED + 200)
    right, _ = right_units(jobs)
    wrong = np.zeros(len(jobs), bool)
    wrong[TRAINED : TRAINED + 200] = True
    return int((~right & wrong).sum()), int((~right & ~wrong).sum())
