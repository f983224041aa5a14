"""Predictions, outcomes and model swaps at the same time: no request fails."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pandas as pd

from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry


def test_no_request_fails_while_it_learns_and_models_are_swapped(
    service: httpx.Client, settings: Settings, crowd: Crowd, job_log: pd.DataFrame
) -> None:
    def predict(number: int) -> int:
        return service.post("/v1/predict", json=[{"user": f"user{number % 5}", "req_mem_mb": 16384}] * 20).status_code

    def send(number: int) -> int:
        job = {"job_id": f"c{number}", "user": f"user{number % 5}", "state": "COMPLETED", "peak_mem_mb": 900.0}
        times = {"submit_time": 1.8e9, "start_time": 1.8e9, "end_time": 1.8e9 + number}
        return service.post("/v1/jobs", json=job | times).status_code

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(task, number) for number in range(60) for task in (predict, send)]
        for _ in range(3):
            registry.publish(crowd, settings.models_dir)
        statuses = [future.result() for future in running]
    assert statuses == [200] * 120
    with JobStore.open(settings.store) as store:
        assert store.count() == len(job_log) + 60
