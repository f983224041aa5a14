"""A correction learned from made-up measurements says what they were made by, and keeps its promise."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from crowdrun.data.errors import ConfigError, ModelError, NotEnoughDataError
from crowdrun.predictor.gpu_memory.learned.correction import MEMBERS, Correction
from crowdrun.predictor.gpu_memory.learned.features import shares, table
from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep, folds, learn
from crowdrun.predictor.gpu_memory.learned.line import Line
from tests.predictor.gpu_memory.learned.steps import made_up


@pytest.fixture(scope="module")
def learned() -> Correction:
    return learn(made_up(), "a made-up card")


def rows_of(steps: list[MeasuredStep]) -> tuple[list[dict[str, float]], np.ndarray]:
    return [dict(step.features) for step in steps], np.array([step.measured_mb for step in steps])


def test_families_that_were_not_learned_from_are_said_closely(learned: Correction) -> None:
    rows, measured = rows_of(made_up(seed=1))
    assert np.median(np.abs(learned.mb(rows) / measured - 1)) < 0.02


def test_no_more_than_the_risk_of_new_families_needs_more_than_is_given(learned: Correction) -> None:
    rows, measured = rows_of(made_up(families=60, seed=2))
    given = learned.mb(rows) * learned.margins(rows, 0.1)
    assert np.mean(given < measured) <= 0.1
    assert np.median(given / measured) < 1.1


def test_a_smaller_risk_is_given_no_less(learned: Correction) -> None:
    rows, _ = rows_of(made_up(families=5))
    margins = [learned.margins(rows, risk) for risk in (0.5, 0.1, 0.05, 0.01)]
    assert all((less <= more).all() for less, more in pairwise(margins))
    assert (margins[0] >= 1).all()


def test_a_crash_that_was_logged_low_does_not_turn_the_line() -> None:
    steps = made_up(noise=0.001)
    crashed = [
        MeasuredStep(features=step.features, measured_mb=1800.0 if place % 10 == 0 else step.measured_mb,
                     family=step.family)
        for place, step in enumerate(steps)
    ]  # fmt: skip
    rows, measured = rows_of(steps)
    said = Line.fit(table(rows), np.array([step.measured_mb for step in crashed])).mb(table(rows))
    assert np.median(np.abs(said / measured - 1)) < 0.01


def test_what_is_read_again_says_the_same(learned: Correction, tmp_path: Path) -> None:
    file = tmp_path / "card.npz"
    learned.save(file)
    again = Correction.load(file)
    rows, _ = rows_of(made_up(families=5, seed=3))
    np.testing.assert_allclose(again.mb(rows), learned.mb(rows), rtol=1e-6)
    np.testing.assert_allclose(again.margins(rows, 0.05), learned.margins(rows, 0.05), rtol=1e-6)
    assert again.basis == learned.basis == "a made-up card; 240 measured steps of 12 families"


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_is_the_same_from_its_arrays_and_says_nothing_where_the_line_was_right(name: str) -> None:
    made = shares(table(rows_of(made_up(families=6))[0]))
    wrong = np.where(made[:, 0] > np.median(made[:, 0]), 0.1, -0.1)
    member = MEMBERS[name].fit(made, wrong)
    again = MEMBERS[name].from_arrays(dict(member.arrays()))
    np.testing.assert_allclose(again.log_ratio(made), member.log_ratio(made), atol=1e-6)
    np.testing.assert_allclose(MEMBERS[name].fit(made, np.zeros(len(made))).log_ratio(made), 0, atol=1e-6)


def test_no_family_is_in_two_folds_and_all_rows_are_in_one() -> None:
    families = np.array([step.family for step in made_up(families=7, each=9)])
    fold = folds(families, 3)
    assert sorted(np.unique(fold)) == [0, 1, 2]
    assert all(len(np.unique(fold[families == name])) == 1 for name in np.unique(families))


@pytest.mark.parametrize(("families", "each"), [(4, 20), (5, 7)])
def test_too_few_steps_or_families_are_refused(families: int, each: int) -> None:
    with pytest.raises(NotEnoughDataError, match="at least 40 of 5 are needed"):
        learn(made_up(families=families, each=each), "a card")


@pytest.mark.parametrize("risk", [0.0, 1.0, -1.0])
def test_a_risk_that_is_none_is_refused(learned: Correction, risk: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        learned.margin(risk, made_up()[0].features)


def test_a_file_that_is_no_correction_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.npz"
    np.savez(file, line=np.zeros(3))
    with pytest.raises(ModelError, match="no correction of a forecast: it lacks 'names"):
        Correction.load(file)
    np.savez(file, names=np.array(["weight"]))
    with pytest.raises(ModelError, match="learned from other features"):
        Correction.load(file)
