"""Who wins a target: by a margin that is tested, never at the price of more failures or more waste."""

import numpy as np
import pandas as pd
import pytest

from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import GRID, Array
from crowdrun.predictor.retraining.contest import FEWEST_JUDGED, judge
from crowdrun.predictor.retraining.follow import Said
from crowdrun.predictor.target import TARGETS_BY_NAME

N, USERS = 600, 30


@pytest.fixture(scope="module")
def log() -> LearningLog:
    number = np.arange(N)
    rng = np.random.default_rng(0)
    return LearningLog.of(
        pd.DataFrame(
            {
                "job_id": number.astype(str),
                "user": [f"user{one % USERS}" for one in number],
                "submit_time": 60.0 * number,
                "start_time": 60.0 * number + 5,
                "end_time": 60.0 * number + 3605,
                "state": "COMPLETED",
                "peak_mem_mb": 2 ** rng.normal(12, 0.5, N),
                "alloc_gpus": 1,
                "req_mem_mb": 65536.0,
            }
        )
    )


def said(log: LearningLog, *, off: float = 0.0, spread: float = 0.3, above: float = 1.0, seed: int = 0) -> Said:
    """A predictor whose medians are off the truth by noise of so many log2, with a safe figure so far above them."""
    target = TARGETS_BY_NAME["mem_mb"]
    value = log.values_log2(target)
    median: Array = value + np.random.default_rng(seed).normal(0, off + 1e-9, len(log))
    return Said(
        target=target, value_log2=value, quantiles=median[:, None] + spread * GRID, safe=np.exp2(median + above)
    )


def test_a_clearly_better_challenger_wins_with_its_figures(log: LearningLog) -> None:
    verdict = judge(log, {"mem_mb": said(log, off=0.6)}, {"mem_mb": said(log, off=0.2)})["mem_mb"]
    assert (verdict.outcome, verdict.replaces, verdict.judged) == ("better", True, N)
    assert verdict.loss_ratio is not None
    assert verdict.loss_ratio.low < verdict.loss_ratio.value < verdict.loss_ratio.high < 0.99
    assert verdict.challenger_loss is not None
    assert verdict.champion_loss is not None
    assert verdict.challenger_loss / verdict.champion_loss == pytest.approx(verdict.loss_ratio.value, abs=1e-3)


def test_the_other_way_round_it_is_worse_and_stays_out(log: LearningLog) -> None:
    verdict = judge(log, {"mem_mb": said(log, off=0.2)}, {"mem_mb": said(log, off=0.6)})["mem_mb"]
    assert (verdict.outcome, verdict.replaces) == ("worse", False)


def test_two_that_are_equally_good_are_hardly_ever_exchanged(log: LearningLog) -> None:
    outcomes = [
        judge(log, {"mem_mb": said(log, off=0.4, seed=2 * n)}, {"mem_mb": said(log, off=0.4, seed=2 * n + 1)})["mem_mb"]
        for n in range(100)
    ]
    # 2.5% is promised; of 100, six or more would then come once in 25.
    assert sum(verdict.replaces for verdict in outcomes) <= 5


def test_one_lucky_user_decides_nothing(log: LearningLog) -> None:
    lucky = said(log, off=0.4, seed=1)
    quantiles = lucky.quantiles.copy()
    rows = [number for number, request in enumerate(log.requests) if request.user == "user3"]
    quantiles[rows] = lucky.value_log2[rows, None]
    challenger = Said(target=lucky.target, value_log2=lucky.value_log2, quantiles=quantiles, safe=lucky.safe)
    assert judge(log, {"mem_mb": lucky}, {"mem_mb": challenger})["mem_mb"].outcome == "no difference"


@pytest.mark.parametrize(("above", "outcome"), [(-0.5, "more failures"), (4.0, "more waste")])
def test_a_better_loss_does_not_buy_failures_or_waste(log: LearningLog, above: float, outcome: str) -> None:
    verdict = judge(log, {"mem_mb": said(log, off=0.6)}, {"mem_mb": said(log, off=0.2, above=above)})["mem_mb"]
    assert verdict.outcome == outcome
    assert outcome in verdict.why


def test_too_few_jobs_new_targets_and_targets_that_are_gone(log: LearningLog) -> None:
    silent = said(log)
    silent.safe[FEWEST_JUDGED - 1 :] = np.nan
    verdicts = judge(log, {"mem_mb": silent, "gpus": silent}, {"mem_mb": said(log), "run_time_s": silent})
    assert {name: verdict.outcome for name, verdict in verdicts.items()} == {
        "mem_mb": "too few jobs", "gpus": "gone", "run_time_s": "new",
    }  # fmt: skip
    assert verdicts["mem_mb"].why == "only 99 jobs of the segment can be judged; 100 are needed"


def test_a_verdict_can_be_written_as_json_without_what_it_lacks(log: LearningLog) -> None:
    told = judge(log, {"mem_mb": said(log, off=0.6)}, {"mem_mb": said(log, off=0.2)})["mem_mb"].to_json()
    assert told["loss_ratio"].keys() == {"value", "low", "high"}
    assert "loss_ratio" not in judge(log, {}, {"mem_mb": said(log)})["mem_mb"].to_json()
