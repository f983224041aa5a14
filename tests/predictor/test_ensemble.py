"""All targets asked together against the plain way: one target, one member and one job after the other."""

from collections.abc import Sequence

import numpy as np
import pytest

from crowdrun.data.job import JobRequest
from crowdrun.data.queue_state import Queue, QueuedJob
from crowdrun.predictor.asked import Asked
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.ensemble import Ensemble, OfTarget, features_of
from crowdrun.predictor.features import NUMERIC_NAMES
from crowdrun.predictor.history import FAMILY
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.target_model import TargetModel
from crowdrun.predictor.target_settings import TargetSettings
from tests.predictor.conftest import MakeJobs

RISK = 0.05
QUEUE = Queue.of([QueuedJob(user="user1", partition="gpu", submit_time=1.7e9, req_cpus=8, timelimit_s=3600.0)])


@pytest.fixture(scope="module")
def crowd(make_jobs: MakeJobs) -> Crowd:
    """Every target, a wait among them; the GPU count with members of its own."""
    jobs = make_jobs(700, seed=4)
    waits = np.random.default_rng(0).lognormal(6, 1, len(jobs))
    jobs["start_time"] = jobs["submit_time"] + waits
    jobs["end_time"] += waits
    return Crowd.train(jobs, settings={"gpus": TargetSettings(members=("recent", "linear"))})


@pytest.fixture(scope="module")
def asked(make_jobs: MakeJobs) -> list[Asked]:
    """Jobs of known users, and of strangers; some ask for too little, some for nothing, some saw the queue."""
    rows = make_jobs(760, seed=4).iloc[700:].to_dict("records")
    requests = [JobRequest.from_mapping({str(name): value for name, value in row.items()}) for row in rows]
    requests += [JobRequest(), JobRequest(user="eve", job_name="x", req_mem_mb=1.0, timelimit_s=1.0, req_gpus=0)]
    requests += [JobRequest(user="user1", job_name="train-3", req_mem_mb=mb) for mb in (1.0, 300.0, 1e6)]
    return [Asked(request, QUEUE if place % 3 else None) for place, request in enumerate(requests)]


def plainly(model: TargetModel, asked: Sequence[Asked]) -> dict[str, Array]:
    """What the model of one target says, job by job."""
    said: dict[str, list[Array]] = {name: [] for name in ("members", "combined", "calibrated", "safe", "lean")}
    for one in asked:
        features = features_of([model], [one])
        column = model.target.request_column
        value = getattr(one.request, column) if column else None
        given = value is not None and value >= (0 if model.target.offset else 1e-9)
        bound = np.array([model.target.to_log2(np.array(value)) if given else np.nan])
        group = [model.target.group(float(features.anchor[0]))]
        members = model.members(features, bound)
        combined = model.combine(members, group)
        by_family = model.by_family(combined, [None if model.target.is_wait else one.keys[FAMILY]])
        calibrated = model.calibrate(by_family, group, bound)
        safe = model.safe(calibrated, RISK)
        lean = np.fmin(model.lean(combined, calibrated), safe)
        for name, figure in zip(said, (members[:, 0], combined[0], calibrated[0], safe[0], lean[0]), strict=True):
            said[name].append(figure)
    return {name: np.array(figures) for name, figures in said.items()}


def together(crowd: Crowd, asked: Sequence[Asked]) -> dict[str, tuple[OfTarget, Array, Array]]:
    """Target -> distributions, safe and lean."""
    found = {}
    for ensemble in Ensemble.all_of(crowd.models):
        said = ensemble.ask(asked)
        safe = said.safe(RISK)
        lean = np.fmin(said.lean(), safe)
        for place, model in enumerate(ensemble.models):
            rows = slice(place * len(asked), (place + 1) * len(asked))
            found[model.target.name] = said.of_target(place), safe[rows], lean[rows]
    return found


def test_all_targets_together_say_what_each_says_alone(crowd: Crowd, asked: list[Asked]) -> None:
    found = together(crowd, asked)
    assert list(found) == ["mem_mb", "run_time_s", "gpu_mem_mb", "wait_s", "gpus"]
    for name, (said, safe, lean) in found.items():
        plain = plainly(crowd.models[name], asked)
        np.testing.assert_allclose(said.members.swapaxes(0, 1), plain["members"], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(said.combined, plain["combined"], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(said.calibrated, plain["calibrated"], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(safe, plain["safe"], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(lean, plain["lean"], atol=1e-6, err_msg=name)


def test_jobs_in_a_batch_get_what_each_gets_alone(crowd: Crowd, asked: list[Asked]) -> None:
    requests, queues = [one.request for one in asked], [one.queue for one in asked]
    batch = crowd.recommend_many(requests, RISK, queues)
    for request, queue, in_batch in zip(requests, queues, batch, strict=True):
        (alone,) = crowd.recommend_many([request], RISK, [queue])
        assert in_batch.reasons == alone.reasons
        assert in_batch.abstained == alone.abstained
        assert list(in_batch.predictions) == list(alone.predictions)
        for name, prediction in in_batch.predictions.items():
            assert prediction.safe == pytest.approx(alone.predictions[name].safe, rel=1e-6)
            assert prediction.evidence == alone.predictions[name].evidence
            np.testing.assert_allclose(prediction.risk_curve, alone.predictions[name].risk_curve, rtol=1e-6, atol=1e-9)


def test_predictions_come_in_the_order_of_the_targets_whatever_their_members(crowd: Crowd, asked: list[Asked]) -> None:
    said = crowd.recommend(asked[0].request)
    assert list(said.predictions) == list(crowd.models) == ["mem_mb", "run_time_s", "gpus", "gpu_mem_mb", "wait_s"]
    assert list(said.predictions["gpus"].members) == ["recent", "linear"]


def test_one_target_alone_has_the_columns_that_it_was_fitted_on(crowd: Crowd, asked: list[Asked]) -> None:
    widths = {name: crowd.features(name, asked[0].request).numeric.shape[1] for name in ("mem_mb", "wait_s")}
    assert widths["mem_mb"] == len(NUMERIC_NAMES) < widths["wait_s"]


def test_what_a_member_learns_online_is_asked_at_once(crowd: Crowd, make_jobs: MakeJobs) -> None:
    ended = make_jobs(760, seed=4).iloc[700:].to_dict("records")
    request = JobRequest.from_mapping({str(name): value for name, value in ended[-1].items()})
    before = crowd.recommend(request).predictions["mem_mb"].members["neighbours"]
    crowd.observe_many([{str(name): value for name, value in row.items()} for row in ended])
    after = crowd.recommend(request).predictions["mem_mb"].members["neighbours"]
    assert after != before
    alone = plainly(crowd.models["mem_mb"], [Asked(request)])
    (said, safe, _) = together(crowd, [Asked(request)])["mem_mb"]
    np.testing.assert_allclose(said.calibrated, alone["calibrated"], atol=1e-6)
    np.testing.assert_allclose(safe, alone["safe"], atol=1e-6)
