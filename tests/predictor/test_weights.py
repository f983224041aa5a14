"""Regret: how much worse than its best member the crowd can be."""

import numpy as np
import pytest

from crowdrun.predictor.quantiles import LEVELS, Array, mixture, pinball
from crowdrun.predictor.target import GROUPS
from crowdrun.predictor.weights import Weights, WeightsSettings

MEMBERS, ROUNDS = 3, 4000
#: Summed loss of the crowd over that of its best member. With weights exp(-5 (loss / best - 1)) and three members it is
#: worst when two of them are a third worse than the best, by 9%; the rest is for learning which one is the best.
MARGIN = 1.12


def followed(losses: Array, groups: Array) -> Array:
    """(rounds,) the crowd's loss, weighted with what the rounds before had taught. losses: (rounds, members)."""
    weights = Weights(MEMBERS)
    crowd = np.empty(len(losses))
    for round_, (loss, group) in enumerate(zip(losses, groups.tolist(), strict=True)):
        crowd[round_] = weights.of(group) @ loss
        weights.observe(group, np.tile(loss[:, None], (1, len(LEVELS))))
    return crowd


def noisy(means: Array, seed: int = 0) -> Array:
    """Losses as skewed as real ones around their means."""
    return means * np.random.default_rng(seed).gamma(1.0, 1.0, (ROUNDS, MEMBERS))


@pytest.mark.parametrize("others", [1.02, 1.1, 1.3, 1.5, 2.0, 10.0])
@pytest.mark.parametrize("best", range(MEMBERS))
def test_the_crowd_is_nearly_as_good_as_its_best_member(best: int, others: float) -> None:
    means = np.full(MEMBERS, others)
    means[best] = 1.0
    losses = noisy(np.tile(means, (ROUNDS, 1)))
    crowd = followed(losses, np.zeros(ROUNDS, dtype=np.intp))
    assert crowd.sum() < MARGIN * losses.sum(axis=0).min()


def test_the_crowd_changes_over_when_the_best_member_does() -> None:
    means = np.full((ROUNDS, MEMBERS), 2.0)
    means[: ROUNDS // 2, 0] = means[ROUNDS // 2 :, 1] = 1.0
    losses = noisy(means)
    crowd = followed(losses, np.zeros(ROUNDS, dtype=np.intp))
    assert crowd.sum() < MARGIN * losses.sum(axis=0).min()
    settled = ROUNDS // 2 + int(2 * WeightsSettings().group_half_life)
    assert crowd[settled:].sum() < MARGIN * losses[settled:, 1].sum()


def test_each_group_follows_its_own_best_member() -> None:
    groups = np.arange(ROUNDS) % GROUPS
    means = np.full((ROUNDS, MEMBERS), 2.0)
    means[np.arange(ROUNDS), groups % MEMBERS] = 1.0
    losses = noisy(means)
    crowd = followed(losses, groups)
    for group in range(GROUPS):
        of_group = groups == group
        # A young group also pays for what it borrows from all jobs, whose best member is another one.
        assert crowd[of_group].sum() < (MARGIN + 0.03) * losses[of_group].sum(axis=0).min()


def test_a_group_without_jobs_leans_on_all_jobs() -> None:
    weights = Weights(MEMBERS)
    for _ in range(200):
        weights.observe(0, np.tile([[0.1], [0.5], [0.5]], (1, len(LEVELS))))
    assert weights.of(2)[0] > 0.9


def test_without_any_job_all_members_count_the_same() -> None:
    np.testing.assert_allclose(Weights(MEMBERS).of(1), 1 / MEMBERS)


def test_losses_of_nothing_leave_finite_weights() -> None:
    weights = Weights(MEMBERS)
    for _ in range(2000):
        weights.observe(0, np.zeros((MEMBERS, len(LEVELS))))
    np.testing.assert_allclose(weights.of(0), 1 / MEMBERS)


def test_the_mixed_distribution_is_nearly_as_good_as_the_best_members() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(10, 1, 1500)
    normal = np.quantile(rng.normal(size=100_000), LEVELS)
    # One that is right, one that sits too low, one that is too wide.
    members = np.stack([10 + normal, 9 + normal, 10 + 3 * normal])
    weights = Weights(MEMBERS)
    crowd = np.empty(len(value))
    losses = np.stack([pinball(members, np.array(one)) for one in value])
    for round_, one in enumerate(value):
        mixed = mixture(members[:, None], weights.of(0)[:, None])
        crowd[round_] = pinball(mixed[0], np.array(one)).mean()
        weights.observe(0, losses[round_])
    assert crowd.sum() < MARGIN * losses.mean(axis=2).sum(axis=0).min()
