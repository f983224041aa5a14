"""What crowdrun says of a job, as it goes out.

`content_of` builds it as plain dictionaries, which the service writes as they are: models of pydantic's in between
would take as long as the prediction itself. The models document it, and read it again on the other side.
"""

from dataclasses import asdict
from functools import lru_cache
from typing import Any, Self

from pydantic import BaseModel, Field, TypeAdapter

from crowdrun.data.explanation import Explanation
from crowdrun.data.job import REQUEST_FIELDS, Evidence, JobRequest, Recommendation, TargetPrediction
from crowdrun.data.network_forecast import NetworkForecast


class EvidenceAnswer(BaseModel):
    """The past jobs that a prediction rests on."""

    shared: str = Field(description="what they have in common with this one")
    jobs: int
    lowest: float
    median: float
    highest: float
    newest_time: float = Field(description="end of the newest, UTC epoch seconds")
    above_request: int | None = Field(description="how many needed more than this request asks for")
    gpus_busy: float | None = Field(default=None, description="of GPUs: how many such jobs kept busy, on average")
    idle_gpuh: float | None = Field(default=None, description="GPU·h that stood idle in such a job, on average")


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


class CounterfactualAnswer(BaseModel):
    """What the crowd would say if one thing of the request were different."""

    change: str
    field: str = Field(description="the field of the request that is different")
    before: float | str | None
    after: float | str | None
    median: float | None = Field(description="null: nothing would be said")
    safe: float | None


class ExplanationAnswer(BaseModel):
    """Why a prediction is what it is."""

    member: str = Field(description="the member whose prediction is taken apart")
    levels: list[LevelAnswer]
    missing: str | None = Field(description="why there are no levels")
    counterfactuals: list[CounterfactualAnswer] = Field(description="those that matter, the largest move first")
    sentences: list[str] = Field(description="sentences for a person")


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

    def to_record(self, target: str, request: JobRequest) -> TargetPrediction:
        """The record of a target that was predicted for this request."""
        return TargetPrediction(
            target=target,
            quantiles={float(level): value for level, value in self.quantiles.items()},
            safe=self.safe,
            lean=self.lean,
            ladder=tuple(self.ladder),
            members={name: (one.median, one.weight) for name, one in self.members.items()},
            risk_curve=tuple(self.risk_curve),
            evidence=Evidence(**self.evidence.model_dump()) if self.evidence else None,
            asked=getattr(request, _ASKED_BY[target]) if target in _ASKED_BY else None,
        )


class NetworkForecastAnswer(BaseModel):
    """What the network that the job trains needs of one GPU, by a forecast of its training step; MB of 2^20 bytes."""

    network: str
    library: str = Field(description="whose code of it was forecast")
    task: str = Field(description="images, classification (of texts) or language")
    micro_batch: int = Field(description="samples that one GPU takes at once")
    size: int = Field(description="side of an image in pixels, or length of a text in tokens")
    gpus: int
    precision: str = Field(description="fp32, or bf16: half precision under autocast")
    optimizer: str = Field(description="sgd with momentum, or adamw: the one that keeps as much")
    allocated_mb: float
    reserved_mb: float
    device_mb: float = Field(description="the whole card; see device_basis")
    device_basis: str
    off: float = Field(description="how far the forecast's line was off where it was checked, 0.02 is 2%")


class RecommendationAnswer(BaseModel):
    """What crowdrun says of one job."""

    request: dict[str, Any] = Field(description="the fields of the request that were known")
    risk: float
    predictions: dict[str, PredictionAnswer] = Field(description="target (mem_mb, run_time_s, ...) -> prediction")
    abstained: dict[str, str] = Field(description="target -> why nothing is said of it")
    reasons: list[str] = Field(description="sentences for a person")
    model_id: str | None = Field(description="the published model that said so")
    network_forecast: NetworkForecastAnswer | None = Field(
        default=None, description="GPU memory by forecast, where script, command or fields name a well-known network"
    )

    @classmethod
    def of(cls, recommendation: Recommendation) -> Self:
        return cls.model_validate(content_of(recommendation))

    def to_record(self) -> Recommendation:
        """The record that the service had, but for digits of the risk curve."""
        request = JobRequest(**self.request)
        explained = {name: one.explanation for name, one in self.predictions.items() if one.explanation}
        return Recommendation(
            request=request,
            risk=self.risk,
            predictions={name: one.to_record(name, request) for name, one in self.predictions.items()},
            abstained=self.abstained,
            reasons=tuple(self.reasons),
            explanations={name: _EXPLANATION.validate_python(one.model_dump()) for name, one in explained.items()},
            model_id=self.model_id,
            network_forecast=NetworkForecast(**self.network_forecast.model_dump()) if self.network_forecast else None,
        )


def content_of(recommendation: Recommendation) -> dict[str, Any]:
    """The answer as plain dictionaries, of the fields of RecommendationAnswer."""
    request = recommendation.request
    known = ((name, getattr(request, name)) for name in REQUEST_FIELDS)
    explanations = recommendation.explanations
    return {
        "request": {name: value for name, value in known if value is not None},
        "risk": recommendation.risk,
        "predictions": {
            name: _prediction(prediction, explanations.get(name))
            for name, prediction in recommendation.predictions.items()
        },
        "abstained": dict(recommendation.abstained),
        "reasons": recommendation.reasons,
        "model_id": recommendation.model_id,
        "network_forecast": asdict(forecast) if (forecast := recommendation.network_forecast) else None,
    }


def _prediction(prediction: TargetPrediction, explanation: Explanation | None) -> dict[str, Any]:
    evidence = prediction.evidence
    return {
        "quantiles": {_level(level): value for level, value in prediction.quantiles.items()},
        "safe": prediction.safe,
        "safe_risk": prediction.safe_risk,
        "lean": prediction.lean,
        "lean_risk": prediction.lean_risk,
        "ladder": prediction.ladder,
        "members": {name: {"median": m, "weight": w} for name, (m, w) in prediction.members.items()},
        # The curve is the longest part of an answer: thousandths are enough, and no risk is known to a millionth.
        "risk_curve": [(round(value, 3), round(risk, 6)) for value, risk in prediction.risk_curve],
        "asked_risk": prediction.asked_risk,
        "evidence": None if evidence is None else {name: getattr(evidence, name) for name in _EVIDENCE},
        "explanation": None if explanation is None else asdict(explanation),
    }


@lru_cache(maxsize=1024)
def _level(level: float) -> str:
    return f"{level:g}"


_EVIDENCE = tuple(EvidenceAnswer.model_fields)
_EXPLANATION = TypeAdapter(Explanation)
#: Target -> the field of a request that asks for it.
_ASKED_BY = {"mem_mb": "req_mem_mb", "run_time_s": "timelimit_s", "gpus": "req_gpus"}
