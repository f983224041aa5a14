"""Counterfactual requests: one change at a time, what the crowd then says, only those that matter."""

import math
from dataclasses import fields, replace

from crowdrun.data.job import JobRequest
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.explanation.counterfactual import SMALLEST_FACTOR, variants
from crowdrun.predictor.explanation.explain import explain

REQUEST = JobRequest(
    user="user2", group="user2", account="physics", partition="gpu", job_name="lm_b64_r2", req_nodes=1, req_cpus=4,
    req_gpus=2, req_mem_mb=65536.0, timelimit_s=3600.0, submit_time=1.8e9, batch_size=64,
    command="python train.py --arch transformer --batch-size 64",
)  # fmt: skip


def test_each_variant_changes_one_thing(sample_crowd: Crowd) -> None:
    found = variants(REQUEST, sample_crowd.recommend(REQUEST))
    changed = {
        frozenset(f.name for f in fields(JobRequest) if getattr(one.request, f.name) != getattr(REQUEST, f.name))
        for one in found
    }
    assert frozenset({"batch_size", "command"}) in changed
    assert {name for names in changed for name in names} == {
        "req_mem_mb", "timelimit_s", "req_cpus", "req_gpus", "batch_size", "command", "user", "job_name",
    }  # fmt: skip
    assert {len(names) for names in changed} == {1, 2}
    batch = next(one.request for one in found if one.field == "batch_size")
    assert (batch.batch_size, batch.command) == (32, "python train.py --arch transformer --batch-size 32")


def test_a_request_that_says_nothing_has_no_variants(sample_crowd: Crowd) -> None:
    assert variants(JobRequest(), sample_crowd.recommend(JobRequest())) == []


def test_the_figures_are_what_the_crowd_says_of_the_other_request(sample_crowd: Crowd) -> None:
    explained = explain(sample_crowd, sample_crowd.recommend(REQUEST))
    for target, explanation in explained.explanations.items():
        for one in explanation.counterfactuals:
            if one.field in {"req_mem_mb", "timelimit_s", "user", "job_name"}:
                said = sample_crowd.recommend(replace(REQUEST, **{one.field: one.after})).predictions.get(target)
                assert one.safe == (said.safe if said else None)
                assert one.median == (said.quantiles[0.5] if said else None)


def test_only_what_matters_is_told_the_largest_first(sample_crowd: Crowd, some_requests: list[JobRequest]) -> None:
    told = 0
    for answer in sample_crowd.recommend_many(some_requests[:40]):
        for target, explanation in explain(sample_crowd, answer).explanations.items():
            known = answer.predictions[target]
            moves = []
            for one in explanation.counterfactuals:
                if one.safe is None or one.median is None:
                    moves.append(math.inf)
                    continue
                pairs = ((known.safe, one.safe), (known.quantiles[0.5], one.median))
                moves.append(max(abs(math.log((after + 1) / (before + 1))) for before, after in pairs))
            assert all(move >= math.log(SMALLEST_FACTOR) for move in moves)
            assert moves == sorted(moves, reverse=True)
            told += len(moves)
    assert told > 20


def test_a_user_without_a_history_under_a_new_name_gets_nothing_said(sample_crowd: Crowd) -> None:
    alone = replace(REQUEST, job_name=None, group=None, account=None)
    explained = explain(sample_crowd, sample_crowd.recommend(alone))
    first = explained.explanations["mem_mb"].counterfactuals[0]
    assert (first.field, first.safe, first.median) == ("user", None, None)
    assert (
        "host memory: for a user without a history, nothing could be said."
        in explained.explanations["mem_mb"].sentences
    )
