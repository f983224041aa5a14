"""Explanations in short sentences; every number stands in the explanation or the prediction."""

from collections.abc import Sequence
from math import prod

from crowdrun.data.explanation import Counterfactual, LevelAttribution
from crowdrun.data.job import TargetPrediction
from crowdrun.predictor.explanation.words import NOUNS, percent, size
from crowdrun.predictor.target import Target

#: Attributions below this factor, up or down, are not worth a word; nor is more than so many of each.
WORTH_A_WORD = 1.05
MOST_ATTRIBUTIONS = 3
MOST_COUNTERFACTUALS = 4
REST = "the rest"


def attribution_sentences(target: Target, weight: float, levels: Sequence[LevelAttribution]) -> list[str]:
    """What raised and what lowered the boosted trees, one sentence a level; weight: theirs in the crowd."""
    if target.whole:
        # Parts of a GPU mean nothing to a person; they are in the figures.
        return []
    noun = NOUNS[target.name]
    said = [f"{noun}: the boosted trees, {percent(weight)} of the crowd, start from what past jobs used."]
    for level in levels:
        name = "median" if level.level == 0.5 else f"{level.level:.0%} level"
        start, end = size(target, level.base), size(target, level.prediction)
        parts = "; ".join(_parts(target, level))
        said.append(f"{noun}: their {name} goes from {start} to {end}{f': {parts}' if parts else ' in small steps'}.")
    return said


def _parts(target: Target, level: LevelAttribution) -> list[str]:
    """The largest factors and the rest of them, so that a reader can add up; nothing if all are small."""
    told = [one for one in level.attributions if not 1 / WORTH_A_WORD < one.factor < WORTH_A_WORD][:MOST_ATTRIBUTIONS]
    rest = [one for one in level.attributions if one not in told]
    parts = [_part(target, one.feature, one.factor, one.amount) for one in told]
    if told and rest:
        parts.append(_part(target, REST, prod(one.factor for one in rest), sum(one.amount for one in rest)))
    return parts


def _part(target: Target, feature: str, factor: float, amount: float) -> str:
    sign = "−" if amount < 0 else "+"
    return f"×{factor:.2f} ({sign}{size(target, abs(amount))}) for {feature}"


def counterfactual_sentences(
    target: Target, prediction: TargetPrediction, counterfactuals: Sequence[Counterfactual]
) -> list[str]:
    """What another request would get, largest move first."""
    return [
        f"{NOUNS[target.name]}: {_other(target, prediction, one)}" for one in counterfactuals[:MOST_COUNTERFACTUALS]
    ]


def _other(target: Target, prediction: TargetPrediction, one: Counterfactual) -> str:
    if one.safe is None or one.median is None:
        return f"{one.change}, nothing could be said."
    pairs = (("safe", one.safe, prediction.safe), ("the median", one.median, prediction.quantiles[0.5]))
    parts = [
        f"{name} {size(target, after)} instead of {size(target, before)}"
        for name, after, before in pairs
        if size(target, after) != size(target, before)
    ]
    return f"{one.change}: {', '.join(parts)}."
