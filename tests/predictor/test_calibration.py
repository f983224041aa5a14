"""That 95% means 95% on the jobs to come, also after a drift; and our quantile against the one of `crepes`."""

import crepes
import numpy as np
import pytest

from crowdrun.predictor.calibration import KEPT, LARGEST_LOGIT, Calibration, CalibrationSettings
from crowdrun.predictor.quantiles import LEVELS, Array


def covered(scores: Array, groups: Array | None = None) -> np.ndarray:
    """(n, levels) whether each score lies within what the scores before had calibrated."""
    groups = np.zeros(len(scores), dtype=np.intp) if groups is None else groups
    kept = Calibration()
    result = np.empty((len(scores), len(LEVELS)), dtype=bool)
    for row, (score, group) in enumerate(zip(scores.tolist(), groups.tolist(), strict=True)):
        result[row] = score <= kept.logits(group)
        kept.observe(group, score)
    return result


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.5, 1.0), (-1.0, 0.7), (0.0, 1.8)])
def test_promises_are_kept_on_exchangeable_scores(shift: float, scale: float) -> None:
    scores = shift + scale * np.random.default_rng(0).logistic(size=12_000)
    rate = covered(scores)[2000:].mean(axis=0)
    np.testing.assert_allclose(rate, LEVELS, atol=0.01)


def test_promises_are_kept_in_each_group_though_the_others_differ() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, 12_000)
    scores = np.array([-1.0, 0.0, 1.5])[groups] + rng.logistic(size=len(groups))
    high = LEVELS >= 0.9
    by_group, together = covered(scores, groups)[3000:], covered(scores)[3000:]
    for group in range(3):
        # Scores of other groups count a tenth: that costs the group that needs most two points at 90%.
        assert (by_group[groups[3000:] == group].mean(axis=0) - LEVELS > -0.025)[high].all()
    assert (together[groups[3000:] == 2].mean(axis=0) - LEVELS < -0.05)[LEVELS == 0.9].all()


@pytest.mark.parametrize("shift", [-2.0, 2.0])
def test_after_a_shift_the_promise_is_kept_again_within_three_half_lives(shift: float) -> None:
    rng = np.random.default_rng(2)
    changed, settled = 4000, 4000 + int(3 * CalibrationSettings().half_life)
    scores = rng.logistic(size=settled + 4000)
    scores[changed:] += shift
    inside = covered(scores)
    high = LEVELS >= 0.9
    broken = inside[changed : changed + 200].mean(axis=0)
    assert (np.abs(broken - LEVELS)[LEVELS == 0.9] > 0.05).all()
    np.testing.assert_allclose(inside[settled:].mean(axis=0)[high], LEVELS[high], atol=0.015)


def test_on_stationary_scores_it_is_the_split_conformal_quantile_of_crepes() -> None:
    scores = np.random.default_rng(3).normal(1.0, 2.0, 6000)
    kept = Calibration(CalibrationSettings(half_life=1e12))
    for score in scores:
        kept.observe(0, float(score))
    oracle = crepes.ConformalPredictiveSystem().fit(residuals=scores)
    levels = np.array([0.5, 0.8, 0.9, 0.95, 0.99])
    expected = oracle.predict_percentiles(np.zeros(1), higher_percentiles=(100 * levels).tolist())[0]
    # The prior's thirty pseudo-scores are in ours alone.
    np.testing.assert_allclose(kept.at(0, levels), expected, atol=0.08)


def test_a_young_log_is_left_as_the_crowd_said() -> None:
    np.testing.assert_allclose(Calibration().logits(0)[3:8], np.log(LEVELS / (1 - LEVELS))[3:8], atol=0.2)


def test_levels_never_cross() -> None:
    rng = np.random.default_rng(4)
    kept = Calibration()
    for score in rng.normal(size=500):
        kept.observe(int(rng.integers(3)), float(score))
        assert (np.diff(kept.logits(int(rng.integers(3)))) >= 0).all()


def test_what_lies_far_beyond_is_asked_for_but_not_without_end() -> None:
    kept = Calibration()
    for _ in range(500):
        kept.observe(0, 1e9)
    kept.refresh()
    assert kept.logits(0)[-1] == LARGEST_LOGIT


def test_the_memory_of_scores_is_bounded() -> None:
    kept = Calibration()
    for _ in range(2 * KEPT + 10):
        kept.observe(0, 0.0)
    assert KEPT <= len(kept.scores) == len(kept.groups) < 2 * KEPT
