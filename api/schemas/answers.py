"""What goes out beside recommendations: jobs, models, retrainings, reports, health."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from crowdrun.api.serving.retrainings import Retraining, State


class JobAnswer(BaseModel):
    """What is known of a job."""

    job_id: str
    runs: Sequence[Mapping[str, str | int | float | None]] = Field(
        description="oldest first, a requeue is another run; the fields are those of POST /v1/jobs, null: unknown"
    )


class StoredAnswer(BaseModel):
    """What became of the jobs that were sent."""

    new: int = Field(description="put into the store, and learnt from")
    known: int = Field(description="already there; sending a job twice changes nothing")


class ModelAnswer(BaseModel):
    """The model that answers now."""

    id: str
    made: str = Field(description="when it was published, ISO 8601, UTC")
    versions: Mapping[str, str] = Field(description="library versions it was made with")
    summary: Mapping[str, Any] = Field(description="data range, row counts, members, figures")


class HealthAnswer(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ModelListed(BaseModel):
    """One published model."""

    id: str
    made: str | None = Field(default=None, description="when it was published, ISO 8601, UTC")
    summary: Mapping[str, Any] = Field(default={}, description="data range, row counts, members, figures")
    damaged: str | None = Field(default=None, description="why it cannot be used")


class ModelsAnswer(BaseModel):
    """The published models."""

    current: str | None = Field(description="the id of the one that is to answer")
    models: Sequence[ModelListed] = Field(description="oldest first")


class RetrainingAnswer(BaseModel):
    """A retraining; times are UTC epoch seconds."""

    id: str
    state: State = Field(
        description="`published`: a new model; `kept`: none was needed, or none was better; `failed`: `said` tells why"
    )
    started: float
    ended: float | None
    doing: str = Field(description="what is being done")
    share: float = Field(ge=0, le=1, description="of it that is done")
    model_id: str | None = Field(description="what it published")
    said: Sequence[str] = Field(description="what came of it, for a person")

    @classmethod
    def of(cls, retraining: Retraining) -> Self:
        return cls(**asdict(retraining))


class UsageRow(BaseModel):
    """Sums over jobs. Judged are those whose use is known and whose request can be meant."""

    name: str | None = Field(description="null: unknown, or in all")
    jobs: int
    judged: int
    asked_gbh: float = Field(description="host memory asked for times run time, GB·h, of the judged")
    used_gbh: float
    wasted_gbh: float = Field(description="asked for and not used; all of it where a job died for want of memory")
    out_of_memory: int
    gpu_jobs: int
    held_gpuh: float = Field(description="GPUs held times run time, GPU·h")
    judged_gpuh: float = Field(description="of these, with a known utilisation")
    idle_gpuh: float = Field(description="of these, idle: 1 - utilisation")


class UsageReport(BaseModel):
    """What jobs held and did not use."""

    by: Literal["user", "account", "partition"]
    total: UsageRow
    groups: int = Field(description="how many rows there are in all")
    rows: Sequence[UsageRow] = Field(description="most GB·h wasted first")
