"""A recommendation as the page `Try it` shows it: the same figures as REST's, for every stop of the risk slider."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from crowdrun.api.dashboard.need import need_chart
from crowdrun.api.dashboard.words import TARGETS, size
from crowdrun.api.forecasts.known_training import with_forecast
from crowdrun.api.serving.service import Service
from crowdrun.api.show import waste_line
from crowdrun.api.text import duration_text
from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.predictor.explanation.words import percent

#: Where the slider stops; the service's own risk is one more.
STOPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5)


def answer_for(service: Service, request: JobRequest, risk: float, script: str = "") -> dict[str, Any]:
    """Everything that the page tells of one job; its slider begins at `risk`. script: what it runs.

    Raises:
        ModelError: no model is loaded.
    """
    stops = sorted({*STOPS, risk})
    recommendation = with_forecast(service.recommend([request], risk, explained=True)[0], script, service.device_model)
    told = [_stop(service.recommend([request], one)[0]) for one in stops]
    return {
        "recommendation": recommendation,
        "stops": told,
        "start": stops.index(risk),
        "targets": [_target(recommendation, name) for name in recommendation.predictions],
        "why": [line for one in recommendation.explanations.values() for line in one.sentences],
        "waste": waste_line(recommendation),
    }


def _stop(recommendation: Recommendation) -> dict[str, Any]:
    """What the page shows with the slider at this risk; `try.js` puts it in its places."""
    return {
        "risk": recommendation.risk,
        "text": _percentage(recommendation.risk),
        "safe": {
            name: {
                "value": one.safe, "text": size(name, one.safe), "own": percent(one.safe_risk),
                "ladder": [size(name, rung) for rung in one.ladder],
            }
            for name, one in recommendation.predictions.items()
        },
        "sbatch": "\n".join(directives(recommendation)),
    }  # fmt: skip


def directives(recommendation: Recommendation) -> list[str]:
    """The #SBATCH lines that ask for what is safe: memory a node in MB, since sbatch takes no fractions.

    >>> from crowdrun.data.job import TargetPrediction
    >>> memory = TargetPrediction(target="mem_mb", quantiles={}, safe=4705.2, lean=1, ladder=(9410.4,), members={},
    ...     risk_curve=((0, 1),))
    >>> directives(Recommendation(request=JobRequest(req_nodes=2), risk=0.05, predictions={"mem_mb": memory}))
    ['#SBATCH --mem=2353M', '# after an out-of-memory end: --mem=4706M']
    """
    predictions, request = recommendation.predictions, recommendation.request
    nodes = request.req_nodes or 1
    lines = []
    if memory := predictions.get("mem_mb"):
        lines.append(f"#SBATCH --mem={ceil(memory.safe / nodes)}M")
    if (time := predictions.get("run_time_s")) and time.safe:
        lines.append(f"#SBATCH --time={duration_text(time.safe)}")
    # What is asked for already is not said twice: a script may say it in another way (`--gres`, `--gpus-per-node`).
    if (gpus := predictions.get("gpus")) and gpus.safe and gpus.safe != request.req_gpus:
        kind = f"{request.gpu_type}:" if request.gpu_type else ""
        lines.append(f"#SBATCH --gpus={kind}{gpus.safe:.0f}")
    if memory and memory.ladder:
        rungs = ", then ".join(f"--mem={ceil(rung / nodes)}M" for rung in memory.ladder)
        lines.append(f"# after an out-of-memory end: {rungs}")
    return lines


def _target(recommendation: Recommendation, name: str) -> dict[str, Any]:
    one = recommendation.predictions[name]
    return {
        "name": name, "title": TARGETS[name], "prediction": one, "chart": need_chart(one),
        "asked_risk": None if one.asked_risk is None else percent(one.asked_risk),
        "quantiles": [(f"{level:.0%}", size(name, value)) for level, value in _told(one.quantiles)],
        "members": [
            {"name": member, "median": size(name, median), "weight": weight}
            for member, (median, weight) in sorted(one.members.items(), key=lambda item: -item[1][1])
        ],
    }  # fmt: skip


def _told(quantiles: Mapping[float, float]) -> Sequence[tuple[float, float]]:
    return [(level, value) for level, value in quantiles.items() if level in {0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99}]


def _percentage(risk: float) -> str:
    return f"{risk * 100:g}%"
