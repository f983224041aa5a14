"""What a plan must know of the task's memory: forecasts, and by how much the earlier ones were wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crowdrun.training.planning.split import Ask, Margin


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Measured minus forecast of earlier runs, MB: the median."""

    mb: float
    runs: int


@dataclass(frozen=True, kw_only=True)
class Forecaster:
    """Forecasts of one task. `ask` may raise ForecastError."""

    ask: Ask
    #: Of a forecast: the factor of the risk that a card may turn out too small.
    margin: Margin
    #: Host memory of a process that has loaded torch and the task and taken one small step, MB.
    process_mb: float
    #: Device (cuda, cpu) -> what the runs of this place taught.
    corrections: Mapping[str, Correction] = field(default_factory=dict)
