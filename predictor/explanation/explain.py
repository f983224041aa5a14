"""A recommendation explained: what moved the boosted trees, what another request would get, and both in words."""

from dataclasses import replace

from crowdrun.data.errors import ModelError
from crowdrun.data.explanation import Counterfactual, Explanation, LevelAttribution
from crowdrun.data.job import Recommendation
from crowdrun.data.queue_state import Queue
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.explanation.attribution import attribute
from crowdrun.predictor.explanation.counterfactual import compared, variants
from crowdrun.predictor.explanation.why import attribution_sentences, counterfactual_sentences
from crowdrun.predictor.learners.boosted import Boosted
from crowdrun.predictor.target import TARGETS_BY_NAME


def explain(crowd: Crowd, recommendation: Recommendation, queue: Queue | None = None) -> Recommendation:
    """The recommendation that this crowd made, before that queue, with an explanation of each prediction.

    Costs a prediction of about ten requests, and loads xgboost the first time.
    """
    others = variants(recommendation.request, recommendation)
    answers = crowd.recommend_many([other.request for other in others], recommendation.risk, [queue] * len(others))
    changed = list(zip(others, answers, strict=True))
    explanations = {}
    for name in recommendation.predictions:
        explanations[name] = _explanation(crowd, recommendation, name, compared(name, recommendation, changed), queue)
    return replace(recommendation, explanations=explanations)


def _explanation(
    crowd: Crowd,
    recommendation: Recommendation,
    name: str,
    counterfactuals: tuple[Counterfactual, ...],
    queue: Queue | None,
) -> Explanation:
    levels, missing = _levels(crowd, recommendation, name, queue)
    target, prediction = TARGETS_BY_NAME[name], recommendation.predictions[name]
    said = counterfactual_sentences(target, prediction, counterfactuals)
    if levels:
        said = attribution_sentences(target, prediction.members[Boosted.name][1], levels) + said
    return Explanation(
        member=Boosted.name, levels=levels, missing=missing, counterfactuals=counterfactuals, sentences=tuple(said)
    )


def _levels(
    crowd: Crowd, recommendation: Recommendation, name: str, queue: Queue | None
) -> tuple[tuple[LevelAttribution, ...], str | None]:
    """The levels, or why there are none."""
    learner = crowd.models[name].learners.get(Boosted.name)
    if not isinstance(learner, Boosted):
        return (), f"the crowd has no member {Boosted.name!r}"
    try:
        return attribute(TARGETS_BY_NAME[name], learner, crowd.features(name, recommendation.request, queue)), None
    except ModelError as error:
        return (), str(error)
