"""Champion against challenger: what both said of the same jobs, at the same moments, and which is better for a target.

Both are taken through the newest segment, on which neither was trained. A target goes to the challenger only when it is
better there by a margin that is tested, because a crowd that is exchanged for one that is better by luck gets worse
with each exchange. The test is a paired bootstrap over blocks (all jobs of one user, or of one user in a tenth of the
segment where there are few users: `evaluation/bootstrap.py`), since the jobs of one user fail or fit together. Stated:

- **better**: the 95% interval of the ratio of the mean pinball losses, challenger to champion, lies below 1 - MARGIN.
  The chance to take a challenger that is no better is then at most 2.5% a target, 10% over four;
- **and**, for host memory, neither more failures of the safe figure nor more GB·h wasted with it, each by its own 95%
  interval: a distribution may fit better and still cost more;
- **worse**: the interval of that ratio lies above 1. Anything else is "no difference that can be told".
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from crowdrun.predictor.evaluation.bootstrap import Interval, Resamples
from crowdrun.predictor.evaluation.metrics import Attempts, attempts, users
from crowdrun.predictor.learning_log import LearningLog, numbers
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.retraining.follow import Said

Outcome = Literal["better", "worse", "no difference", "more failures", "more waste", "new", "too few jobs", "gone"]
#: A challenger must lose at least this share less, so that a model is not exchanged for the sake of a trifle.
MARGIN = 0.01
#: Fewer judged jobs than this decide nothing.
FEWEST_JUDGED = 100


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why a target was or was not taken from the challenger; figures are on the jobs that both were judged on."""

    target: str
    outcome: Outcome
    #: The sentence that a person reads.
    why: str
    judged: int = 0
    #: Mean pinball loss, log2.
    champion_loss: float | None = None
    challenger_loss: float | None = None
    #: challenger / champion, with its 95% interval.
    loss_ratio: Interval | None = None
    #: Share of jobs that needed more than the safe figure, challenger - champion.
    more_failures: Interval | None = None
    #: GB·h wasted with the safe figure, challenger / champion.
    waste_ratio: Interval | None = None

    @property
    def replaces(self) -> bool:
        return self.outcome in {"better", "new"}

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def judge(
    log: LearningLog, champion: Mapping[str, Said], challenger: Mapping[str, Said], *, whose: str = "the champion's"
) -> dict[str, Verdict]:
    """Target -> verdict, for every target of either; both were taken through `log`. `whose` loss is the measure."""
    verdicts = {}
    for name in dict.fromkeys([*champion, *challenger]):
        if name not in champion:
            verdicts[name] = Verdict(target=name, outcome="new", why="the model in use says nothing of it")
        elif name not in challenger:
            verdicts[name] = Verdict(target=name, outcome="gone", why="the jobs of now no longer teach it")
        else:
            verdicts[name] = _verdict(log, name, champion[name], challenger[name], whose)
    return verdicts


def _verdict(log: LearningLog, name: str, champion: Said, challenger: Said, whose: str) -> Verdict:
    rows = np.flatnonzero(champion.judged & challenger.judged)
    if len(rows) < FEWEST_JUDGED:
        why = f"only {len(rows)} jobs of the segment can be judged; {FEWEST_JUDGED} are needed"
        return Verdict(target=name, outcome="too few jobs", why=why, judged=len(rows))
    draw = Resamples.over_users(users(log)[rows])
    old, new = champion.loss[rows], challenger.loss[rows]
    # Where both are perfect their ratio is 1, not a quotient of rounding errors.
    ratio = draw.ratio(new + _TINY, old + _TINY)
    costs = _costs(log, rows, champion, challenger, draw) if name == "mem_mb" else {}
    outcome = _outcome(ratio, costs)
    return Verdict(
        target=name, outcome=outcome, why=_why(outcome, ratio, costs, whose), judged=len(rows),
        champion_loss=round(float(old.mean()), 5), challenger_loss=round(float(new.mean()), 5), loss_ratio=ratio,
        **costs,
    )  # fmt: skip


_TINY = 1e-6


def _costs(log: LearningLog, rows: Any, champion: Said, challenger: Said, draw: Resamples) -> dict[str, Interval]:
    old, new = (_tried(log, rows, said) for said in (champion, challenger))
    return {
        "more_failures": draw.mean(new.failed - old.failed),
        "waste_ratio": draw.ratio(new.waste_gbh + _TINY, old.waste_gbh + _TINY),
    }


def _tried(log: LearningLog, rows: Any, said: Said) -> Attempts:
    peak: Array = said.target.from_log2(said.value_log2[rows])
    hours = (numbers(log.jobs, "end_time") - numbers(log.jobs, "start_time"))[rows] / 3600
    cap = float(max(np.nanmax(said.safe[rows]), peak.max()))
    return attempts(said.safe[rows], peak_mb=peak, hours=hours, cap_mb=cap)


def _outcome(ratio: Interval, costs: Mapping[str, Interval]) -> Outcome:
    if ratio.high >= 1 - MARGIN:
        return "worse" if ratio.low > 1 else "no difference"
    if costs and costs["more_failures"].low > 0:
        return "more failures"
    if costs and costs["waste_ratio"].low > 1:
        return "more waste"
    return "better"


def _why(outcome: Outcome, ratio: Interval, costs: Mapping[str, Interval], whose: str) -> str:
    loss = f"its loss is {ratio.value:.3f} times {whose} (95%: {ratio.low:.3f} to {ratio.high:.3f})"
    if outcome in {"more failures", "more waste"}:
        cost = costs["more_failures" if outcome == "more failures" else "waste_ratio"]
        unit = "share of failures, difference" if outcome == "more failures" else "GB·h wasted, ratio"
        return f"{loss}, but {outcome} ({unit}: {cost.value:.3f}, 95%: {cost.low:.3f} to {cost.high:.3f})"
    needed = f"below {1 - MARGIN:g} throughout is needed"
    return loss if outcome == "better" else f"{loss}; {needed}"
