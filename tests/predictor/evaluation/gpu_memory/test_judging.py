"""What is judged was not learned from, and rules are judged on the same steps."""

import numpy as np
import pytest

from crowdrun.predictor.evaluation.gpu_memory import judging
from crowdrun.predictor.evaluation.gpu_memory.judging import judge, of_known_families
from crowdrun.predictor.evaluation.gpu_memory.rules import RULES
from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep
from tests.predictor.gpu_memory.learned.steps import made_up


@pytest.fixture(autouse=True)
def few_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "FOLDS", 4)


def no_progress(doing: str, share: float) -> None:
    del doing, share


def test_the_learned_forecast_and_every_rule_are_judged_on_the_same_steps() -> None:
    found = judge(made_up(), 0.1, no_progress)
    assert found["median_error"] < 0.03
    assert found["under"] <= 0.15
    assert found["rules"].keys() == {*RULES, "forecast_affine"}
    assert found["rules"]["parameters_x16"]["median_error"] > 0.5
    assert found["rules"]["forecast_affine"]["median_error"] < found["rules"]["forecast"]["median_error"]


def test_a_family_that_is_off_by_itself_is_not_learned_from_itself() -> None:
    steps = made_up(noise=0.001)
    odd = [
        MeasuredStep(features=step.features, measured_mb=step.measured_mb * 1.5, family="odd") if number < 20 else step
        for number, step in enumerate(steps)
    ]
    found = judge(odd, 0.1, no_progress)
    # A twelfth of the steps is 50% off, whatever was learned from the others: the largest errors are theirs.
    assert found["p90_error"] < 0.05
    assert found["under"] >= 20 / len(odd) * 0.5


def test_models_of_known_families_are_judged_with_their_family_known() -> None:
    steps = made_up(noise=0.02)
    models = [str(number) for number in range(len(steps))]
    known = of_known_families(steps, models, 0.1, no_progress)
    assert known.median_error <= judge(steps, 0.1, no_progress)["median_error"] * 1.1
    assert np.isfinite(known.median_margin)
