"""What moved the prediction of the boosted trees: attributions that add up.

Each feature gets its Shapley value, by xgboost's own tree SHAP (Lundberg et al., "From local explanations to global
understanding with explainable AI for trees", Nature Machine Intelligence 2, 2020). They add up to log2 of the target,
so as factors they multiply: base times all factors is the prediction. The same in MB or seconds is the contribution
times the logarithmic mean of base and prediction: base plus all amounts is the prediction (LMDI, which leaves no
residual and knows no order: Ang, "The LMDI approach to decomposition analysis: a practical guide", Energy Policy 33,
2005).

xgboost is imported when an explanation is asked for, and never to serve a prediction.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from crowdrun.data.errors import ModelError
from crowdrun.data.explanation import Attribution, LevelAttribution
from crowdrun.predictor.explanation.feature_groups import group_of
from crowdrun.predictor.features import NUMERIC_NAMES, QUEUE_NAMES, Features
from crowdrun.predictor.learners.boosted import BOOSTED_LEVELS, Boosted
from crowdrun.predictor.quantiles import Array, logit
from crowdrun.predictor.target import Target

#: The levels that are taken apart.
LEVELS_EXPLAINED = (0.5, 0.95)


def attribute(
    target: Target, learner: Boosted, features: Features, levels: Sequence[float] = LEVELS_EXPLAINED
) -> tuple[LevelAttribution, ...]:
    """The levels of one job's prediction (features of one row) taken apart by group of features.

    Raises:
        ModelError: xgboost is not installed, or cannot read its trees, or the model was published without them.
    """
    shares = _contributions(learner, features)
    values = shares.sum(axis=1)
    anchor = float(features.anchor[0])
    return tuple(_level(target, level, anchor, level_weights(values, level) @ shares) for level in levels)


def level_weights(values: Array, level: float) -> Array:
    """What each boosted level counts in the learner's answer at a level: values (len(BOOSTED_LEVELS),) log2.

    The learner sorts its levels, where they cross, and interpolates in the logit of the level.
    """
    order = np.argsort(values, kind="stable")
    grid, wanted = logit(BOOSTED_LEVELS), float(logit(np.array(level)))
    upper = int(np.clip(np.searchsorted(grid, wanted), 1, len(grid) - 1))
    share = float(np.clip((wanted - grid[upper - 1]) / (grid[upper] - grid[upper - 1]), 0, 1))
    weights = np.zeros(len(values))
    weights[order[upper - 1]], weights[order[upper]] = 1 - share, share
    return weights


def _contributions(learner: Boosted, features: Features) -> Array:
    """(boosted levels, columns + 1) log2; the last column is the bias."""
    xgboost = _xgboost()
    if learner.own_form is None:
        raise ModelError(
            "this model was published without xgboost's own form of its trees; make a new one with `crowdrun retrain`"
        )
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(learner.own_form))
        result = booster.predict(xgboost.DMatrix(features.numeric[:1], nthread=1), pred_contribs=True)
    except xgboost.core.XGBoostError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"xgboost cannot explain its trees: {reason}; publish the model anew") from error
    contributions: Array = result[0].astype(np.float64)
    return contributions


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise ModelError("xgboost is not installed here; `pip install xgboost-cpu` brings it") from error
    return xgboost


def _level(target: Target, level: float, anchor: float, shares: Array) -> LevelAttribution:
    """shares: (columns + 1,) log2, the bias last."""
    base_log2 = anchor + float(shares[-1])
    base, prediction = (2.0**x for x in (base_log2, anchor + float(shares.sum())))
    grouped: dict[str, float] = {}
    columns = (*NUMERIC_NAMES, *QUEUE_NAMES)[: len(shares) - 1]
    for column, share in zip(columns, shares[:-1].tolist(), strict=True):
        group = group_of(column, target.name)
        grouped[group] = grouped.get(group, 0.0) + share
    a_unit = _logarithmic_mean(base, prediction) * np.log(2)
    return LevelAttribution(
        level=level,
        base=base - target.offset,
        prediction=prediction - target.offset,
        attributions=tuple(
            Attribution(feature=group, factor=float(2.0**share), amount=float(share * a_unit))
            for group, share in sorted(grouped.items(), key=lambda item: -abs(item[1]))
            if share
        ),
    )


def _logarithmic_mean(a: float, b: float) -> float:
    """(a - b) / (ln a - ln b), and a where they are the same."""
    difference = float(np.log(a / b))
    # Near 0 the quotient of two small differences is noise; the arithmetic mean is off by its square over 12.
    return (a + b) / 2 if abs(difference) < 1e-5 else (a - b) / difference
