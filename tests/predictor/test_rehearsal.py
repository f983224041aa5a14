"""What is learnt from a log in the order of its events, and how much of it is rehearsed and fitted on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.replay import events
from crowdrun.predictor import fitting, rehearsal
from crowdrun.predictor.features import Features
from crowdrun.predictor.fitting import fit_executor, fits_run_by
from crowdrun.predictor.history import History
from crowdrun.predictor.items import Items
from crowdrun.predictor.learners import registry
from crowdrun.predictor.learners.recent import Recent
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.rehearsal import Rehearsal
from crowdrun.predictor.replay import Course, follow, groups_of, look
from crowdrun.predictor.target import TARGETS_BY_NAME
from crowdrun.predictor.target_model import Ended, TargetModel
from crowdrun.predictor.target_settings import TargetSettings

MakeJobs = Callable[..., pd.DataFrame]
MEMORY = TARGETS_BY_NAME["mem_mb"]


@pytest.fixture
def course(make_jobs: MakeJobs) -> Course:
    log = LearningLog.of(make_jobs(250, seed=4))
    seen = look(log, MEMORY, History(), Items())
    return Course.of(log, MEMORY, seen.features, slice(None))


def some_members(course: Course) -> Array:
    """What members might have said of each job; of the first 60 nothing is said."""
    rng = np.random.default_rng(0)
    steps = rng.exponential(0.2, (len(registry.LEARNERS), len(course), len(LEVELS)))
    members = course.features.anchor[:, None] - 1 + np.cumsum(steps, axis=2)
    members[:, :60] = np.nan
    return members


def lived(course: Course, members: Array, risk: float) -> tuple[Array, Array]:
    """Calibrated distributions and safe figures of a service that hears of one event after the other."""
    model, groups = TargetModel(target=MEMORY), groups_of(course, MEMORY).tolist()
    calibrated, safe = np.full(members.shape[1:], np.nan), np.full(len(course), np.nan)
    combined, by_family = calibrated.copy(), calibrated.copy()
    for what, row in events(course.submit_time.tolist(), course.end_time.tolist()):
        if np.isnan(members[0, row, 0]):
            continue
        one, group = slice(row, row + 1), [groups[row]]
        if what == "submit":
            combined[one] = model.combine(members[:, one], group)
            by_family[one] = model.by_family(combined[one], course.families[one].tolist())
            calibrated[one] = model.calibrate(by_family[one], group, course.bound_log2[one])
            safe[one] = model.safe(calibrated[one], risk)
        elif not np.isnan(course.value_log2[row]):
            ended = Ended(
                groups=group, families=course.families[one].tolist(), members=members[:, one], combined=combined[one],
                by_family=by_family[one], value_log2=course.value_log2[one], bound_log2=course.bound_log2[one],
            )  # fmt: skip
            model.observe(ended)
            model.observe_failures(safe[one], ended.value_log2, ended.bound_log2, risk)
    return calibrated, safe


def test_looking_after_each_end_is_what_a_live_service_does(course: Course) -> None:
    members = some_members(course)
    calibrated, safe = lived(course, members, risk=0.05)
    told = follow(course, TargetModel(target=MEMORY), members, 0.05)
    np.testing.assert_allclose(told.calibrated, calibrated, atol=1e-9)
    np.testing.assert_allclose(told.safe, safe, atol=1e-9)


def test_looking_more_rarely_ends_with_the_same_record_and_never_looks_ahead(course: Course) -> None:
    members, often, rarely = some_members(course), TargetModel(target=MEMORY), TargetModel(target=MEMORY)
    follow(course, often, members, 0.05)
    whole = follow(course, rarely, members, 0.05, ends_between_looks=16)
    np.testing.assert_allclose(rarely.weights.count, often.weights.count)
    assert len(rarely.calibration.scores) == len(often.calibration.scores)
    row = 150
    not_ended = ~(course.end_time <= course.submit_time[row])
    otherwise = replace(course, value_log2=np.where(not_ended, course.value_log2 + 3, course.value_log2))
    other = follow(otherwise, TargetModel(target=MEMORY), members, 0.05, ends_between_looks=16)
    np.testing.assert_array_equal(other.safe[: row + 1], whole.safe[: row + 1])


def test_a_job_that_needed_more_than_it_asked_for_moves_no_level(course: Course) -> None:
    # A crowd of one, whose weight cannot change what it says.
    members, settings = some_members(course)[:1], TargetSettings(members=("recent",))
    plain, changed = (TargetModel(target=MEMORY, settings=settings) for _ in range(2))
    died = np.arange(len(course)) % 4 == 0
    bound = np.where(died, course.value_log2 - 0.01, np.nan)
    with_them = replace(course, bound_log2=bound)
    without_them = replace(with_them, value_log2=np.where(died, np.nan, course.value_log2))
    told = [follow(each, model, members, 0.05) for each, model in ((with_them, changed), (without_them, plain))]
    np.testing.assert_array_equal(told[0].safe, told[1].safe)
    assert len(changed.calibration.scores) == len(plain.calibration.scores) > 100
    assert changed.families.scores == plain.families.scores
    assert changed.budget == plain.budget
    # They still tell which member was nearest.
    assert changed.weights.count.sum() > plain.weights.count.sum()


def test_where_the_request_bounds_nothing_every_job_judges() -> None:
    model = TargetModel(target=TARGETS_BY_NAME["gpu_mem_mb"])
    assert model.judges(np.array([12.0, 9.0]), np.array([11.0, np.nan])).all()
    capped = TargetModel(target=MEMORY).judges(np.array([12.0, 9.0, 11.0]), np.array([11.0, np.nan, 11.0]))
    assert capped.tolist() == [False, True, True]


def test_a_long_log_is_rehearsed_and_fitted_on_its_newest_jobs_alone(
    make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "REHEARSED", 60)
    for module in (rehearsal, fitting):
        monkeypatch.setattr(module, "NEWEST_FITTED", 80)
    fitted: list[int] = []
    fit = Recent.fit

    def counting(member: Recent, features: Features, target: Array) -> None:
        fitted.append(len(target))
        fit(member, features, target)

    monkeypatch.setattr(Recent, "fit", counting)
    log = LearningLog.of(make_jobs(400, seed=4))
    with fit_executor() as executor:
        made = Rehearsal(log, MEMORY, seed=0, executor=executor, settings=TargetSettings(members=("recent",)))
        figures = made.finish()
    assert 0 < figures["scored"] <= 60
    assert max(fitted) == figures["fitted_on"] == 80
    # What is remembered of past jobs is that of the whole log.
    everything = History()
    look(log, MEMORY, everything, Items())
    assert made.model.history.trails.keys() == everything.trails.keys()


def test_fits_run_where_they_are_told_to_and_here_again_afterwards() -> None:
    with fit_executor() as chosen, fits_run_by(chosen), fit_executor() as deep:
        assert deep is chosen
    with fit_executor() as other:
        assert other is not chosen
