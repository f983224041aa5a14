"""What goes in and out over REST: pydantic models of the records in `data`, unknown fields refused.

The descriptions come from the table in `data/columns.py`; `tests/api/test_schemas.py` compares the fields with it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from crowdrun.data.columns import BY_NAME
from crowdrun.data.explanation import Counterfactual, Explanation, LevelAttribution
from crowdrun.data.job import Evidence, JobRequest, Recommendation, TargetPrediction
from crowdrun.data.queue_state import Queue, QueuedJob
from crowdrun.data.states import STATES, normalise

#: Jobs in one request.
BATCH_LIMIT = 10_000
#: Jobs that wait or run, in one request.
QUEUE_LIMIT = 50_000
#: Largest whole number: beyond it JSON readers that use doubles lose digits (RFC 8259, section 6).
LARGEST = 2**53 - 1

#: PostgreSQL cannot hold NUL in a text (its manual, 8.3), and nothing that is printed should hold it.
_NO_NUL = r"^[^\x00]*$"


def _known_state(text: str) -> str:
    state = normalise(text)
    if state is None:
        raise ValueError(f"must be one of {', '.join(STATES)}")
    return state


Text = Annotated[str, StringConstraints(max_length=4096, pattern=_NO_NUL, strict=True)]
LongText = Annotated[str, StringConstraints(max_length=65_536, pattern=_NO_NUL, strict=True)]
Whole = Annotated[int, Field(ge=0, le=LARGEST, strict=True)]
Number = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
JobId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_NO_NUL, strict=True)]
StateName = Annotated[str, StringConstraints(max_length=100, strict=True), AfterValidator(_known_state)]


def _column(name: str) -> Any:
    return Field(default=None, description=BY_NAME[name].doc)


class Body(BaseModel):
    """Base of what comes in: a field that is not listed is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestBody(Body):
    """A job as it is known when it is submitted. Every field may be left out: unknown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user": "ada", "job_name": "resnet-7", "req_mem_mb": 65536, "req_cpus": 8, "timelimit_s": 7200}
            ]
        }
    )

    job_id: JobId | None = _column("job_id")
    user: Text | None = _column("user")
    group: Text | None = _column("group")
    account: Text | None = _column("account")
    partition: Text | None = _column("partition")
    qos: Text | None = _column("qos")
    job_name: Text | None = _column("job_name")
    command: LongText | None = _column("command")
    work_dir: Text | None = _column("work_dir")
    submit_time: Seconds | None = _column("submit_time")
    req_nodes: Whole | None = _column("req_nodes")
    req_cpus: Whole | None = _column("req_cpus")
    req_mem_mb: Number | None = _column("req_mem_mb")
    req_gpus: Whole | None = _column("req_gpus")
    gpu_type: Text | None = _column("gpu_type")
    timelimit_s: Seconds | None = _column("timelimit_s")
    model: Text | None = _column("model")
    params_m: Number | None = _column("params_m")
    batch_size: Whole | None = _column("batch_size")
    precision: Text | None = _column("precision")
    optimizer: Text | None = _column("optimizer")

    def to_request(self) -> JobRequest:
        return JobRequest(**self.model_dump(exclude_none=True))


class QueuedJobBody(Body):
    """A job that waits, or runs, as the asked one is submitted."""

    user: Text | None = _column("user")
    partition: Text | None = _column("partition")
    submit_time: Seconds = Field(description=BY_NAME["submit_time"].doc)
    start_time: Seconds | None = Field(default=None, description="when it started; left out, it waits")
    req_nodes: Whole | None = _column("req_nodes")
    req_cpus: Whole | None = _column("req_cpus")
    req_gpus: Whole | None = _column("req_gpus")
    timelimit_s: Seconds | None = _column("timelimit_s")

    def to_job(self) -> QueuedJob:
        return QueuedJob(**self.model_dump(exclude_none=True))


class AskedBody(RequestBody):
    """A job that is asked about, and what is in the queue before it."""

    queue: list[QueuedJobBody] | None = Field(
        default=None,
        max_length=QUEUE_LIMIT,
        description="all jobs that wait or run now, for `wait_s`; left out, the wait is told from past waits alone",
    )

    def to_request(self) -> JobRequest:
        return JobRequest(**self.model_dump(exclude_none=True, exclude={"queue"}))

    def to_queue(self) -> Queue | None:
        return None if self.queue is None else Queue.of(job.to_job() for job in self.queue)


class JobBody(RequestBody):
    """A job that ended: what it asked for and what it did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "4711",
                    "user": "ada",
                    "job_name": "resnet-7",
                    "submit_time": 1762200000,
                    "start_time": 1762200060,
                    "end_time": 1762203660,
                    "req_mem_mb": 65536,
                    "req_cpus": 8,
                    "state": "COMPLETED",
                    "exit_code": "0:0",
                    "peak_mem_mb": 3890.5,
                }
            ]
        }
    )

    job_id: JobId = Field(description=BY_NAME["job_id"].doc)
    state: StateName = Field(description=f"{BY_NAME['state'].doc}: {', '.join(STATES)}, or one of their other names")
    start_time: Seconds | None = _column("start_time")
    end_time: Seconds | None = _column("end_time")
    exit_code: Text | None = _column("exit_code")
    peak_mem_mb: Number | None = _column("peak_mem_mb")
    alloc_gpus: Whole | None = _column("alloc_gpus")
    peak_gpu_mem_mb: Number | None = _column("peak_gpu_mem_mb")
    gpu_util: Share | None = _column("gpu_util")


def _one_or_many(value: Any) -> Literal["job", "jobs"]:
    return "jobs" if isinstance(value, list) else "job"


RequestBatch = Annotated[list[AskedBody], Field(min_length=1, max_length=BATCH_LIMIT)]
JobBatch = Annotated[list[JobBody], Field(min_length=1, max_length=BATCH_LIMIT)]
#: One, or a list of them; the tags are in no message (see `problems.py`).
PredictBody = Annotated[
    Annotated[AskedBody, Tag("job")] | Annotated[RequestBatch, Tag("jobs")], Discriminator(_one_or_many)
]
OutcomeBody = Annotated[Annotated[JobBody, Tag("job")] | Annotated[JobBatch, Tag("jobs")], Discriminator(_one_or_many)]


class SubmissionBody(Body):
    """A job as `csbatch` sees it: sbatch's options in force, by long name."""

    options: dict[Annotated[str, StringConstraints(max_length=64)], LongText] = Field(
        description="sbatch option -> value, over command line, environment and #SBATCH lines",
        examples=[{"mem": "64G", "time": "2:00:00"}],
        max_length=128,
    )
    script: Text | None = Field(default=None, description="name of the script")
    command: LongText | None = Field(default=None, description="the submit line")
    user: Text | None = _column("user")
    group: Text | None = _column("group")
    work_dir: Text | None = _column("work_dir")
    submit_time: Seconds | None = _column("submit_time")


def _fields(answer: type[BaseModel], record: object) -> dict[str, Any]:
    return {name: getattr(record, name) for name in answer.model_fields}


class EvidenceAnswer(BaseModel):
    """The past jobs that a prediction rests on."""

    shared: str = Field(description="what they have in common with this one")
    jobs: int
    lowest: float
    median: float
    highest: float
    newest_time: float = Field(description="end of the newest, UTC epoch seconds")
    above_request: int | None = Field(description="how many needed more than this request asks for")

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        return cls(**_fields(cls, evidence))


class MemberAnswer(BaseModel):
    """One member of the crowd on this job."""

    median: float = Field(description="its own median")
    weight: float = Field(description="its weight in the crowd")


class AttributionAnswer(BaseModel):
    """What one group of features did to a member's prediction."""

    feature: str
    factor: float = Field(description="how many times larger it made the prediction; below 1 it lowered it")
    amount: float = Field(description="the same in the unit of the target")


class LevelAnswer(BaseModel):
    """One level of one member's own prediction, taken apart: base times all factors, or base plus all amounts."""

    level: float
    base: float = Field(description="what the member says before it looks at this job's features")
    prediction: float = Field(description="before the crowd is mixed, calibrated and bounded by the request")
    attributions: list[AttributionAnswer]

    @classmethod
    def of(cls, level: LevelAttribution) -> Self:
        attributions = [AttributionAnswer(**_fields(AttributionAnswer, one)) for one in level.attributions]
        return cls(**_fields(cls, level) | {"attributions": attributions})


class CounterfactualAnswer(BaseModel):
    """What the crowd would say if one thing of the request were different."""

    change: str
    field: str = Field(description="the field of the request that is different")
    before: float | str | None
    after: float | str | None
    median: float | None = Field(description="null: nothing would be said")
    safe: float | None

    @classmethod
    def of(cls, counterfactual: Counterfactual) -> Self:
        return cls(**_fields(cls, counterfactual))


class ExplanationAnswer(BaseModel):
    """Why a prediction is what it is."""

    member: str = Field(description="the member whose prediction is taken apart")
    levels: list[LevelAnswer]
    missing: str | None = Field(description="why there are no levels")
    counterfactuals: list[CounterfactualAnswer] = Field(description="those that matter, the largest move first")
    sentences: list[str] = Field(description="sentences for a person")

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        return cls(
            member=explanation.member,
            levels=[LevelAnswer.of(level) for level in explanation.levels],
            missing=explanation.missing,
            counterfactuals=[CounterfactualAnswer.of(one) for one in explanation.counterfactuals],
            sentences=list(explanation.sentences),
        )


class PredictionAnswer(BaseModel):
    """The predicted distribution of one target; memory in MB of 2^20 bytes, times in seconds."""

    quantiles: dict[str, float] = Field(description="probability -> value, calibrated", examples=[{"0.5": 3900.0}])
    safe: float = Field(description="over all jobs, the share that needs more is at most the risk that was asked for")
    safe_risk: float = Field(description="the probability that this job needs more than `safe`")
    lean: float = Field(description="least expected wastage, a failed attempt costed; of a wait, the one best guess")
    lean_risk: float = Field(description="the probability that this job needs more than `lean`")
    ladder: list[float] = Field(description="what to ask for after an attempt died for want of it, first retry first")
    members: dict[str, MemberAnswer]
    risk_curve: list[tuple[float, float]] = Field(
        description="[value, probability that the job needs more], values rising; straight lines between the points"
    )
    asked_risk: float | None = Field(description="the probability that this job needs more than it asks for")
    evidence: EvidenceAnswer | None = None
    explanation: ExplanationAnswer | None = Field(default=None, description="with `explain=true` only")

    @classmethod
    def of(cls, prediction: TargetPrediction, explanation: Explanation | None = None) -> Self:
        return cls(
            quantiles={f"{level:g}": value for level, value in prediction.quantiles.items()},
            safe=prediction.safe,
            safe_risk=prediction.safe_risk,
            lean=prediction.lean,
            lean_risk=prediction.lean_risk,
            ladder=list(prediction.ladder),
            members={name: MemberAnswer(median=m, weight=w) for name, (m, w) in prediction.members.items()},
            # Six digits: the curve is the longest part of an answer, and no risk is known better.
            risk_curve=[(float(f"{value:.6g}"), round(risk, 6)) for value, risk in prediction.risk_curve],
            asked_risk=prediction.asked_risk,
            evidence=EvidenceAnswer.of(prediction.evidence) if prediction.evidence else None,
            explanation=ExplanationAnswer.of(explanation) if explanation else None,
        )


class RecommendationAnswer(BaseModel):
    """What crowdrun says of one job."""

    request: dict[str, Any] = Field(description="the fields of the request that were known")
    risk: float
    predictions: dict[str, PredictionAnswer] = Field(description="target (mem_mb, run_time_s, ...) -> prediction")
    abstained: dict[str, str] = Field(description="target -> why nothing is said of it")
    reasons: list[str] = Field(description="sentences for a person")
    model_id: str | None = Field(description="the published model that said so")

    @classmethod
    def of(cls, recommendation: Recommendation) -> Self:
        request = recommendation.request
        known = {name: getattr(request, name) for name in RequestBody.model_fields}
        return cls(
            request={name: value for name, value in known.items() if value is not None},
            risk=recommendation.risk,
            predictions={
                name: PredictionAnswer.of(prediction, recommendation.explanations.get(name))
                for name, prediction in recommendation.predictions.items()
            },
            abstained=dict(recommendation.abstained),
            reasons=list(recommendation.reasons),
            model_id=recommendation.model_id,
        )


class StoredAnswer(BaseModel):
    """What became of the jobs that were sent."""

    new: int = Field(description="put into the store, and learnt from")
    known: int = Field(description="already there; sending a job twice changes nothing")


class AdviceAnswer(BaseModel):
    """What `csbatch` prints."""

    line: str | None = Field(description="one line for the person who submits, or null: nothing to say")


class ModelAnswer(BaseModel):
    """The model that answers now."""

    id: str
    made: str = Field(description="when it was published, ISO 8601, UTC")
    versions: Mapping[str, str] = Field(description="library versions it was made with")
    summary: Mapping[str, Any] = Field(description="data range, row counts, members, figures")


class HealthAnswer(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
