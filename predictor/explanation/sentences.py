"""What is said of one job for one target, in short sentences; every number stands in the record.

`tests/predictor/explanation/test_sentences.py` parses each number out of each sentence and looks it up there.
"""

from crowdrun.data.job import Evidence, TargetPrediction
from crowdrun.predictor.explanation.words import NOUNS, VERBS, percent, size
from crowdrun.predictor.history import RELATIONS
from crowdrun.predictor.target import Target

_LITTLE = {"mem_mb": "little", "run_time_s": "short", "gpu_mem_mb": "little"}
#: A request this many times the median need is worth a word.
GENEROUS = 1.5


def sentences(target: Target, prediction: TargetPrediction, risk: float) -> list[str]:
    """What similar jobs did, what is enough, and how risky the request is. risk: that which was asked for."""
    said = [_evidence(target, prediction.evidence)] if prediction.evidence else []
    if target.is_wait:
        said.append(_wait(target, prediction))
    elif not target.whole:
        said += _sizes(target, prediction, risk)
    elif prediction.evidence and prediction.evidence.gpus_busy is not None:
        said.append(_busy(prediction.evidence))
    return [f"{NOUNS[target.name]}: {sentence}" for sentence in said]


def _evidence(target: Target, evidence: Evidence) -> str:
    kind = "started" if target.is_wait else "ended"
    jobs = f"1 {kind} job" if evidence.jobs == 1 else f"{evidence.jobs} {kind} jobs"
    if evidence.shared != RELATIONS[-1]:
        jobs += f" with the {evidence.shared}"
    span = lowest = size(target, evidence.lowest)
    if (highest := size(target, evidence.highest)) != lowest:
        span = f"{lowest} to {highest} (median {size(target, evidence.median)})"
    return f"{jobs} {VERBS[target.name]} {span}{'' if target.whole else _above(evidence)}."


def _busy(evidence: Evidence) -> str:
    """Said, and not more: whether a job would run on fewer is the user's to know."""
    idle = evidence.idle_gpuh or 0.0
    return (
        f"of what they held {evidence.gpus_busy:.1f} were busy on average; {idle:.1f} GPU·h of such a job stood idle."
    )


def _wait(target: Target, prediction: TargetPrediction) -> str:
    told, longer = size(target, prediction.lean), size(target, prediction.safe)
    return f"most likely about {told}; longer than {longer} with a risk of {percent(prediction.safe_risk)}."


def _above(evidence: Evidence) -> str:
    """Not of a count: a job that held more GPUs had asked for more."""
    if not evidence.above_request:
        return ""
    every = "it" if evidence.jobs == 1 else "all of them"
    who = every if evidence.above_request == evidence.jobs else f"{evidence.above_request} of them"
    return f"; {who} needed more than you ask for"


def _sizes(target: Target, prediction: TargetPrediction, risk: float) -> list[str]:
    asked, asked_risk = prediction.asked, prediction.asked_risk
    if asked is not None and asked_risk is not None and asked_risk > risk:
        return [_too_small(target, prediction, asked, asked_risk, risk)]
    said = [_enough(target, prediction)]
    if asked is not None and asked_risk is not None:
        said.append(_request(target, prediction, asked, asked_risk))
    return said


def _too_small(target: Target, prediction: TargetPrediction, asked: float, asked_risk: float, risk: float) -> str:
    sentence = f"your {size(target, asked)} may be too {_LITTLE[target.name]}, risk {percent(asked_risk)}"
    enough = next((point for point in prediction.risk_curve if point[1] <= risk), None)
    if enough is None or size(target, enough[0]) == size(target, asked):
        return f"{sentence}."
    return f"{sentence}; {size(target, enough[0])} would bring it to {percent(enough[1])}."


def _enough(target: Target, prediction: TargetPrediction) -> str:
    safe, lean = size(target, prediction.safe), size(target, prediction.lean)
    sentence = f"{safe} is enough with a risk of {percent(prediction.safe_risk)}"
    if lean == safe:
        return f"{sentence} and wastes least."
    return f"{sentence}; {lean} wastes least, risk {percent(prediction.lean_risk)}."


def _request(target: Target, prediction: TargetPrediction, asked: float, asked_risk: float) -> str:
    sentence = f"your {size(target, asked)}: risk {percent(asked_risk)}"
    median = prediction.quantiles[0.5]
    if asked < GENEROUS * median:
        return f"{sentence}."
    return f"{sentence}, {asked / median:.1f} times the median need of {size(target, median)}."
