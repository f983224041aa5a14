"""The wait, judged as Karnak is."""

import json

import numpy as np
import pandas as pd

from crowdrun.predictor.evaluation.wait import evaluate_wait, mean_error_share, median_of_last_hour
from crowdrun.predictor.learning_log import LearningLog


def log_of(*times: tuple[float, float]) -> LearningLog:
    """Jobs by submission and start."""
    jobs = pd.DataFrame(times, columns=["submit_time", "start_time"])
    return LearningLog.of(
        jobs.assign(job_id=jobs.index.astype(str), end_time=jobs["start_time"] + 1, state="COMPLETED")
    )


def test_the_last_hour_is_that_of_the_starts_and_holds_what_had_started() -> None:
    log = log_of((0, 10), (5, 100), (20, 3000), (200, 210), (3650, 3660), (9000, 9001), (9000, 9500))
    assert median_of_last_hour(log).tolist() == [0, 0, 10, (10 + 95) / 2, 95, 10, 10]


def test_to_say_no_wait_errs_by_all_of_it() -> None:
    wait = np.array([0.0, 10.0, 500.0])
    assert mean_error_share(np.zeros(3), wait) == 1.0
    assert mean_error_share(wait, wait) == 0.0
    assert mean_error_share(np.zeros(2), np.zeros(2)) is None


def test_on_a_queue_that_the_figures_decide_the_crowd_errs_less_than_the_last_hour(queued_log: pd.DataFrame) -> None:
    figures = evaluate_wait(LearningLog.of(queued_log))
    assert set(figures) == {
        "scored", "mean_wait_s", "mean_error_share", "median_last_hour_share", "pinball", "coverage",
    }  # fmt: skip
    assert figures["scored"] == 200
    assert figures["mean_error_share"] < 0.6 * figures["median_last_hour_share"]
    assert figures["coverage"]["90"] <= figures["coverage"]["95"]
    assert figures["coverage"]["95"] > 0.85
    json.dumps(figures, allow_nan=False)


def test_a_log_in_which_nobody_waited_has_no_share() -> None:
    figures = evaluate_wait(log_of(*[(60.0 * k, 60.0 * k) for k in range(60)]))
    assert figures["mean_error_share"] is None
