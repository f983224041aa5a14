"""Why a prediction is what it is: what moved it, and what it would be for another request.

>>> raised = Attribution(feature="the time limit", factor=1.25, amount=180.0)
>>> lowered = Attribution(feature="the hour and the day", factor=0.8, amount=-180.0)
>>> level = LevelAttribution(level=0.5, base=806.0, prediction=806.0, attributions=(raised, lowered))
>>> level.base + sum(one.amount for one in level.attributions) == level.prediction
True
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """What one group of features did to a member's prediction."""

    #: As a person reads it: "the time limit".
    feature: str
    #: How many times larger it made the prediction; below 1 it lowered it.
    factor: float
    #: The same in the unit of the target.
    amount: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelAttribution:
    """One level of one member's own prediction, taken apart: base times all factors, or base plus all amounts."""

    level: float
    #: What the member says before it looks at this job's features; relative to the running mean of the past jobs.
    base: float
    #: Before the crowd is mixed, calibrated and bounded by the request.
    prediction: float
    #: The one that moved it most first.
    attributions: tuple[Attribution, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Counterfactual:
    """What the crowd would say if one thing of the request were different."""

    #: As a person reads it: "with 16 GB of memory asked for instead of 64 GB".
    change: str
    #: The field of the request, its value, and the other one.
    field: str
    before: float | str | None
    after: float | str | None
    #: What the crowd would say then; None where it would say nothing.
    median: float | None
    safe: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why the prediction of one target is what it is."""

    #: The member whose prediction is taken apart.
    member: str
    levels: tuple[LevelAttribution, ...]
    #: Why there are no levels, or None.
    missing: str | None
    #: Those that move the crowd's figures, the largest first.
    counterfactuals: tuple[Counterfactual, ...]
    #: For a person, each true to the figures above.
    sentences: tuple[str, ...]
