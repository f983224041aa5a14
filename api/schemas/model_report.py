"""How good the model in use is, as it goes out: what `evaluation/model_figures.py` keeps beside each model."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_COVERAGE = {"level": 0.95, "value": 0.963, "low": 0.941, "high": 0.982}
_FAILURES = {"value": 0.0125, "low": 0.0, "high": 0.032}
_EXAMPLE: dict[str, Any] = {
    "id": "20261104T101500.123456Z-0d4f2c9a71be",
    "made": "2026-11-04T10:15:00.123456+00:00",
    "jobs": 507,
    "targets": {"mem_mb": {"jobs": 480}},
    "figures": {
        "mem_mb": {
            "judged": 240,
            "first_submit_time": 1762200000.0,
            "last_submit_time": 1762203600.0,
            "coverage": [_COVERAGE],
            "pinball": {"crowd": 0.0695, "forest": 0.064},
            "segments": [
                {
                    "jobs": 48,
                    "first_submit_time": 1762200000.0,
                    "covered": 0.98,
                    "pinball": 0.0544,
                    "accuracy": {"mode": 0.77, "poll": 0.73, "crowd": 0.81},
                }
            ],
            "accuracy": {"mode": 0.65, "poll": 0.746, "crowd": 0.75},
            "savings": {
                "jobs": 240,
                "resampled": "user and tenth of the log",
                "ways": {
                    "safe": {
                        "waste_gbh": 1.85,
                        "first_attempt_failures": _FAILURES,
                        "of_request": {"value": 0.282, "low": 0.211, "high": 0.358},
                    }
                },
                "by": {"user": [{"name": "ada", "jobs": 56, "request": 2.55, "safe": 0.47, "lean": 0.13}]},
                "over_time": [{"start": 1762200000, "request": 2.55, "safe": 0.47, "lean": 0.13}],
            },
        }
    },
    "retraining": {},
}


class Estimate(BaseModel):
    """A figure over jobs that the model had not seen, with its 95% interval over users."""

    value: float | None
    low: float | None
    high: float | None


class CoverageFigure(Estimate):
    """Of a level that was promised, the share of jobs that stayed within it."""

    level: float


class SegmentFigures(BaseModel):
    """One of five equal stretches of the judged jobs, in the order of their submission."""

    jobs: int
    first_submit_time: float
    covered: float = Field(description="share of the jobs within their 95% level")
    pinball: float = Field(description="mean pinball loss of the crowd, log2")
    accuracy: Mapping[str, float] | None = Field(
        default=None, description="of memory: who named a class -> share of the jobs whose class it named"
    )


class WayFigures(BaseModel):
    """A way to ask for memory, played through on the judged jobs."""

    waste_gbh: float
    first_attempt_failures: Estimate
    of_request: Estimate = Field(description="what it wastes as a share of what the users' own requests waste")


class SavingsFigures(BaseModel):
    """What the users' requests wasted, and what they would have wasted with the model's figures."""

    jobs: int
    resampled: str = Field(description="what the intervals are over")
    ways: Mapping[str, WayFigures] = Field(description="request, safe and lean")
    by: Mapping[str, Sequence[Mapping[str, str | float | None]]] = Field(
        description="user, account and partition -> GB·h wasted by each name in each way, most first"
    )
    over_time: Sequence[Mapping[str, float]] = Field(description="GB·h wasted in each way, by the start of a stretch")


class TargetFigures(BaseModel):
    """How good the model is at one target, on jobs that its members had not seen. Without any there are no figures."""

    judged: int = Field(description="jobs")
    first_submit_time: float | None = None
    last_submit_time: float | None = None
    coverage: Sequence[CoverageFigure] | None = None
    pinball: Mapping[str, float] | None = Field(
        default=None, description="the crowd and each member -> mean pinball loss over all levels, log2"
    )
    segments: Sequence[SegmentFigures] | None = None
    accuracy: Mapping[str, float] | None = Field(
        default=None, description="of memory: mode, poll, crowd and each member -> share of the right classes"
    )
    savings: SavingsFigures | None = Field(default=None, description="of memory")


class ModelReport(BaseModel):
    """How good the model in use is: what the page Model of the dashboard shows."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    made: str
    jobs: int | None = Field(description="that it learnt from")
    targets: Mapping[str, Any] = Field(description="target -> jobs and loss, in short")
    figures: Mapping[str, TargetFigures] = Field(
        default={}, description="target -> its figures; empty of a model that was published without"
    )
    retraining: Mapping[str, Any] = Field(description="what it beat, by how much")
