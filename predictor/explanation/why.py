"""Explanations in short sentences; every number stands in the explanation or the prediction."""

from collections.abc import Sequence

from crowdrun.data.explanation import Attribution, Counterfactual, LevelAttribution
from crowdrun.data.job import TargetPrediction
from crowdrun.predictor.explanation.words import NOUNS, percent, size
from crowdrun.predictor.target import Target

#: Attributions below this factor, up or down, are not worth a word; nor is more than so many of each.
WORTH_A_WORD = 1.05
MOST_ATTRIBUTIONS = 3
MOST_COUNTERFACTUALS = 4


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
        moved = [one for one in level.attributions if not 1 / WORTH_A_WORD < one.factor < WORTH_A_WORD]
        parts = "; ".join(_moved(target, one) for one in moved[:MOST_ATTRIBUTIONS])
        said.append(f"{noun}: their {name} goes from {start} to {end}{f': {parts}' if parts else ' in small steps'}.")
    return said


def _moved(target: Target, one: Attribution) -> str:
    verb, sign = ("raise", "+") if one.amount > 0 else ("lower", "−")
    verb = verb if one.feature.endswith("s") or " jobs with " in one.feature else f"{verb}s"
    return f"{one.feature} {verb} it ×{one.factor:.2f} ({sign}{size(target, abs(one.amount))})"


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
