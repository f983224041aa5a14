"""Runs of `crowdrun run`, as they go out."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_LISTED: dict[str, Any] = {
    "run_id": "20261129T171916Z-digits-577e",
    "job_name": "digits",
    "user": "ada",
    "started": 1796059156.0,
    "state": "COMPLETED",
    "cause": None,
    "attempts": 1,
    "run_time_s": 21.8,
    "peak_mem_mb": 675.0,
    "peak_gpu_mem_mb": None,
    "model": "digits",
    "strategy": "ddp",
    "ranks": 1,
    "scores": {"accuracy": 0.981},
}
_EPOCH = {"epoch": 1, "loss": 0.42, "samples_per_s": 5120.0}
_STORY = _LISTED | {
    "plan": {"mem_mb": 1034.0, "reasons": ["memory 1034 MB: the recommendation at the promised risk"]},
    "attempt_list": [{"number": 1, "state": "COMPLETED", "peak_mem_mb": 675.0, "epochs": [_EPOCH]}],
    "rank_reports": [{"peak_mem_mb": 567.0, "sent_mb": 0.0}],
}


class RunListed(BaseModel):
    """A run in a line; null: not known, or not yet."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LISTED]})

    run_id: str
    job_name: str | None
    user: str | None
    started: float = Field(description="when it was planned, UTC epoch seconds")
    state: str = Field(description="of the last attempt; RUNNING, or LOST where it ended without a word")
    cause: str | None = Field(description="why it ended so")
    attempts: int
    run_time_s: float | None = Field(description="of all attempts that ended, s")
    peak_mem_mb: float | None
    peak_gpu_mem_mb: float | None
    model: str | None = Field(description="the network of a task")
    strategy: str | None
    ranks: int | None
    scores: Mapping[str, float] = Field(description="of the test set")


class RunsAnswer(BaseModel):
    """What was run."""

    runs: Sequence[RunListed] = Field(description="the newest first")


class Epoch(BaseModel):
    """A pass over the training set."""

    epoch: int
    loss: float
    samples_per_s: float


class AttemptAnswer(BaseModel):
    """One attempt; what is null is not known, or not yet."""

    number: int
    state: str | None = None
    cause: str | None = None
    exit_code: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    req_mem_mb: float | None = Field(default=None, description="host memory that it was given")
    peak_mem_mb: float | None = None
    peak_gpu_mem_mb: float | None = None
    gpu_util: float | None = None
    alloc_gpus: int | None = None
    epochs: Sequence[Epoch] = ()


class RunAnswer(RunListed):
    """The story of a run."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STORY]})

    plan: Mapping[str, Any] = Field(description="what was requested, with its reasons, split and placement")
    attempt_list: Sequence[AttemptAnswer]
    rank_reports: Sequence[Mapping[str, Any]] = Field(description="what each rank of a task held and sent")
