"""A family's levels: those of its own scores, leaning on the crowd, and never out of order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crowdrun.predictor.family_levels import KEPT, LARGEST_LOGIT, FamilyLevels, FamilyLevelsSettings
from crowdrun.predictor.quantiles import GRID, LEVELS, expit

FAMILY = (1, "ada", "python", "train")


def told(scores: list[float], **settings: float) -> FamilyLevels:
    levels = FamilyLevels(FamilyLevelsSettings(**settings))
    for score in scores:
        levels.observe(FAMILY, score)
    return levels


def test_a_family_without_scores_is_told_what_the_crowd_says() -> None:
    levels = told([0.3] * 50)
    np.testing.assert_array_equal(levels.logits((1, "bob", "python", "train")), GRID)
    np.testing.assert_array_equal(levels.logits(None), GRID)
    levels.observe(None, 3.0)
    assert list(levels.scores) == [FAMILY]


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=260))
def test_its_levels_never_cross(scores: list[float]) -> None:
    logits = told(scores).logits(FAMILY)
    assert (np.diff(logits) >= 0).all()
    assert (np.abs(logits) <= LARGEST_LOGIT).all()


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.floats(10, 500))
def test_each_level_is_where_scores_and_prior_together_reach_it(scores: list[float], prior: float) -> None:
    logits = told(scores, prior=prior, half_life=1e9).logits(FAMILY)
    at, weight = np.array(scores), np.full(len(scores), 1.0)
    total = prior + weight.sum()
    for level, logit in zip(LEVELS, logits, strict=True):
        reached = prior * expit(logit + 1e-6) + weight[at <= logit + 1e-6].sum()
        below = prior * expit(logit - 1e-6) + weight[at < logit - 1e-6].sum()
        assert below / total - 1e-6 <= level <= reached / total + 1e-6


def test_a_family_that_the_crowd_always_gives_too_much_is_given_less_and_forgets_it() -> None:
    levels = told([-1.0] * 300)
    assert len(levels.scores[FAMILY]) == KEPT
    # The upper levels lie far below the crowd's own.
    assert levels.logits(FAMILY)[8] < GRID[8] - 0.5
    for _ in range(KEPT):
        levels.observe(FAMILY, 3.0)
    assert levels.logits(FAMILY)[8] > GRID[8]


def test_many_scores_outweigh_the_crowd() -> None:
    rng = np.random.default_rng(0)
    # Half as wide as the crowd says: a level of the family is half of the crowd's logit.
    scores = (rng.logistic(size=4000) / 2).tolist()
    logits = told(scores, prior=10.0, half_life=500.0).logits(FAMILY)
    np.testing.assert_allclose(logits[2:9], GRID[2:9] / 2, atol=0.35)
