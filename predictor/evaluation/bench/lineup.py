"""Everybody who is judged on host memory: the crowd, what others published, rules of thumb, members, and hindsight."""

from collections.abc import Callable, Mapping

import numpy as np

from crowdrun.predictor.baselines.families import Sized, play
from crowdrun.predictor.baselines.refitted import play_refitted
from crowdrun.predictor.baselines.registry import BASELINES, REFITTED
from crowdrun.predictor.baselines.rules import RULES, rule_allocations
from crowdrun.predictor.classes import Classes
from crowdrun.predictor.evaluation.allocations import allocation_mb, request_mb
from crowdrun.predictor.evaluation.bench import hindsight, retries
from crowdrun.predictor.evaluation.bench.methods import Method
from crowdrun.predictor.evaluation.bench.traces import Trace
from crowdrun.predictor.evaluation.metrics import Judged, Retry
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array, at_logit, logit
from crowdrun.predictor.replay import Replayed

#: Told what is being done and the share that is done, 0 to 1.
Tell = Callable[[str, float], None]


def lineup(
    trace: Trace, judged: Judged, replayed: Replayed, *, refits: int, risk: float, seed: int, tell: Tell
) -> list[Method]:
    """All methods on one log; those whose paper says nothing of retries do as the trace's protocol says."""
    log, retry = trace.log, retries.usual(trace, judged)
    sized = play(
        log, BASELINES, trace.families, judged.cap_mb, trace.has_peak, lambda share: tell("published methods", share)
    )
    said = play_refitted(
        log, replayed.features, replayed.value_log2, REFITTED, refits=refits, seed=seed,
        progress=lambda share: tell("refitted methods", share),
    )  # fmt: skip
    members = _members(log, replayed, retry, risk)
    return [
        *_crowd(log, replayed, retry),
        *_published(sized, judged),
        *_refitted(log, said, retry, risk),
        *_classes(log, replayed, retry),
        *_rules(trace, retry),
        *members,
        *hindsight.members(log, replayed, judged, retry),
        hindsight.constant_of_each_family(trace, judged, retry),
    ]


def _crowd(log: LearningLog, replayed: Replayed, retry: Retry | None) -> list[Method]:
    return [
        Method(
            name=f"crowd_{name}", title=f"crowd, {name}", kind="crowd", retry=retry,
            allocation_mb=allocation_mb(log, replayed, getattr(replayed, f"{name}_log2")),
            quantiles=replayed.calibrated, classes=replayed.class_crowd,
        )
        for name in ("safe", "lean")
    ]  # fmt: skip


def _published(sized: Mapping[str, Sized], judged: Judged) -> list[Method]:
    return [
        Method(
            name=name, title=BASELINES[name].title, kind="published", allocation_mb=one.first_mb,
            retry=retries.own(one, judged),
        )
        for name, one in sized.items()
    ]  # fmt: skip


def _refitted(log: LearningLog, said: Mapping[str, Array], retry: Retry | None, risk: float) -> list[Method]:
    """Of a distribution its quantile of 1 - risk, a figure as it is; before there was a first, the request."""
    methods = []
    for name, one in said.items():
        distribution = one.shape[1] > 1
        first = at_logit(one, logit(np.array([1 - risk]))) if distribution else one[:, 0]
        methods.append(
            Method(
                name=name, title=REFITTED[name].title, kind="published", retry=retry,
                allocation_mb=np.where(np.isnan(first), request_mb(log), np.exp2(first)),
                quantiles=one if distribution else None,
            )
        )  # fmt: skip
    return methods


def _classes(log: LearningLog, replayed: Replayed, retry: Retry | None) -> list[Method]:
    """The lecture's two, as allocations: the upper bound of the class that they name."""

    def method(name: str, title: str, classes: Classes) -> Method:
        bound = np.where(classes >= 0, np.exp2(classes.astype(np.float64)), request_mb(log))
        return Method(name=name, title=title, kind="published", retry=retry, allocation_mb=bound, classes=classes)

    return [
        method("mode", "upper bound of the mode", replayed.class_mode),
        method("poll", "upper bound of the poll", replayed.class_poll),
    ]


def _rules(trace: Trace, retry: Retry | None) -> list[Method]:
    allocations = rule_allocations(trace.log, trace.families, trace.has_peak)
    return [
        Method(name=f"rule_{place}", title=name, kind="rule", retry=retry, allocation_mb=allocations[name])
        for place, name in enumerate(RULES, 1)
    ]


def _members(log: LearningLog, replayed: Replayed, retry: Retry | None, risk: float) -> list[Method]:
    """Each member alone, uncalibrated, at its own quantile of 1 - risk."""
    level = logit(np.array([1 - risk]))
    return [
        Method(
            name=f"member_{name}", title=f"member {name}", kind="member", retry=retry,
            allocation_mb=allocation_mb(log, replayed, at_logit(quantiles, level)),
            quantiles=quantiles, classes=replayed.class_members[place],
        )
        for place, (name, quantiles) in enumerate(zip(LEARNERS, replayed.members, strict=True))
    ]  # fmt: skip
