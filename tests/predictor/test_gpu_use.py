"""Four GPUs held and one used is said and priced, in the answer and in its sentences."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdrun.api.schemas.recommendation import RecommendationAnswer
from crowdrun.data.errors import ModelError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.gpu_use import USE_FILE, GpuUse
from crowdrun.predictor.history import keys_of
from tests.predictor.explanation.test_sentences import assert_true

WASTEFUL = JobRequest(user="ada", job_name="train-7", req_gpus=4, submit_time=2.0e9)


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    """Three families with 4, 1 and 2 GPUs, of which the first keeps a quarter busy and the last tells nothing."""
    rows = []
    for number in range(240):
        user, gpus, use = (("ada", 4, 0.25), ("bob", 1, 0.9), ("eve", 2, np.nan))[number % 3]
        start = 1.8e9 + 600.0 * number
        rows.append({
            "job_id": str(number), "user": user, "job_name": f"train-{number}", "submit_time": start - 30,
            "start_time": start, "end_time": start + 7200, "state": "COMPLETED", "exit_code": "0:0", "req_gpus": gpus,
            "alloc_gpus": gpus, "gpu_util": use, "req_mem_mb": 8000.0, "peak_mem_mb": 2000.0 + number % 7,
            "timelimit_s": 86400.0,
        })  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def crowd(log: pd.DataFrame) -> Crowd:
    return Crowd.train(log)


def test_what_stood_idle_is_said_beside_the_count_and_every_number_of_it_is_in_the_answer(crowd: Crowd) -> None:
    said = crowd.recommend(WASTEFUL)
    evidence = said.predictions["gpus"].evidence
    assert evidence
    assert (evidence.gpus_busy, evidence.idle_gpuh) == (pytest.approx(1.0), pytest.approx(6.0))
    assert said.predictions["gpus"].safe == 4  # that others used fewer is no reason to give this one fewer
    answer = RecommendationAnswer.of(said).model_dump(mode="json")
    forms = [assert_true(reason, answer) for reason in said.reasons if reason.startswith("GPUs: ")]
    assert forms == ["evidence", "busy"]


def test_who_told_nothing_is_told_nothing(crowd: Crowd) -> None:
    evidence = crowd.recommend(JobRequest(user="eve", job_name="train-8", req_gpus=2)).predictions["gpus"].evidence
    assert evidence
    assert evidence.gpus_busy is None


def test_a_job_that_ends_counts_at_once_and_after_saving(crowd: Crowd, log: pd.DataFrame, tmp_path: Path) -> None:
    crowd.save(tmp_path)
    again = Crowd.load(tmp_path)
    assert (
        again.recommend(WASTEFUL).predictions["gpus"].evidence == crowd.recommend(WASTEFUL).predictions["gpus"].evidence
    )
    busy = log.iloc[0].to_dict() | {"gpu_util": 1.0, "end_time": 1.9e9, "start_time": 1.9e9 - 3600, "job_id": "new"}
    again.observe_many([busy])
    evidence = again.recommend(WASTEFUL).predictions["gpus"].evidence
    assert evidence
    assert evidence.gpus_busy == pytest.approx((80 * 1.0 + 4.0) / 81)


def test_a_damaged_table_is_an_error_and_a_model_without_one_says_nothing(tmp_path: Path) -> None:
    assert GpuUse.load(tmp_path).of(keys_of(WASTEFUL)[2]) is None
    (tmp_path / USE_FILE).write_text('[["half')
    with pytest.raises(ModelError, match="publish the model anew"):
        GpuUse.load(tmp_path)
