"""What a job's own past tells: sharp where the family never varies, wide where it does, and never years."""

import numpy as np

from crowdrun.predictor.features import CATEGORY_NAMES, NUMERIC_NAMES, Features
from crowdrun.predictor.history import RELATIONS
from crowdrun.predictor.learners.own_range import LARGEST_MARGIN_LOG2, OwnRange

FAMILY, USER = RELATIONS.index("same user and name"), RELATIONS.index("same user")


def past(
    rows: int, relation: int, *, highest: float, median: float, lowest: float, p90: float | None = None, jobs: int = 39
) -> Features:
    """Jobs whose closest relation used these values, log2 relative to the anchor; p90 near the highest if not told."""
    numeric = np.full((rows, len(NUMERIC_NAMES)), np.nan, dtype=np.float32)
    near = highest - 0.2 * (highest - median)
    told = {
        "highest": highest,
        "p90": near if p90 is None else p90,
        "median": median,
        "lowest": lowest,
        "count": np.log2(1 + jobs),
    }
    for statistic, value in told.items():
        numeric[:, NUMERIC_NAMES.index(f"{statistic} ({RELATIONS[relation]})")] = value
    numeric[:, NUMERIC_NAMES.index("anchor_relation")] = relation
    categories = np.zeros((rows, len(CATEGORY_NAMES)), dtype=np.int32)
    return Features(numeric=numeric, categories=categories, anchor=np.zeros(rows))


def fitted() -> OwnRange:
    """On families that stay in their range, and on users whose jobs of other names are anything."""
    generator = np.random.default_rng(0)
    family = past(400, FAMILY, highest=1.0, median=0.5, lowest=0.0)
    others = past(400, USER, highest=1.0, median=0.5, lowest=-8.0)
    learner = OwnRange()
    values = np.concatenate([generator.uniform(0.0, 1.02, 400), generator.uniform(-8.0, 9.0, 400)])
    learner.fit(Features.joined([family, others]), values)
    return learner


def test_margins_are_in_units_of_the_familys_own_spread() -> None:
    learner = fitted()
    for spread in (0.01, 1.0, 4.0):
        (row,) = learner.predict(past(1, FAMILY, highest=0.0, median=-spread / 2, lowest=-spread))
        assert row[-1] < 0.05 + 0.3 * spread
        assert row[0] < -0.3 * spread


def test_a_job_without_a_family_borrows_no_margins_from_families_and_never_gets_years() -> None:
    learner = fitted()
    (sharp,) = learner.predict(past(1, FAMILY, highest=0.0, median=0.0, lowest=0.0))
    (wide,) = learner.predict(past(1, USER, highest=0.0, median=-4.0, lowest=-9.0))
    assert sharp[-1] < 0.05
    assert 4.0 < wide[-1] <= LARGEST_MARGIN_LOG2


def test_the_line_of_an_item_goes_before_the_range_of_its_family() -> None:
    learner = fitted()
    told = past(1, FAMILY, highest=0.0, median=-1.0, lowest=-2.0)
    for name, value in (("item_value", -1.5), ("item_spread", 0.01), ("item_near", np.log2(1 + 9.0))):
        told.numeric[:, NUMERIC_NAMES.index(name)] = value
    (row,) = learner.predict(told)
    assert abs(np.median(row) + 1.5) < 0.05
    assert np.ptp(row) < 0.2


def test_a_family_that_often_needs_less_but_never_more_gets_its_room_below() -> None:
    learner = fitted()
    (ceiling,) = learner.predict(past(1, FAMILY, highest=0.0, p90=-0.01, median=-1.0, lowest=-2.0))
    (spread,) = learner.predict(past(1, FAMILY, highest=0.0, p90=-1.0, median=-1.0, lowest=-2.0))
    assert 0 < ceiling[-1] < 0.5 * spread[-1]
    assert ceiling[0] == spread[0] < -0.5


def test_a_rough_line_within_the_range_of_its_family_gets_no_more_room_than_the_range() -> None:
    learner = fitted()
    told = past(2, FAMILY, highest=0.0, p90=-0.01, median=-0.02, lowest=-0.5)
    for name, value in (("item_value", np.array([-0.1, 2.0])), ("item_spread", 0.5), ("item_near", 3.0)):
        told.numeric[:, NUMERIC_NAMES.index(name)] = value
    within, beyond = learner.predict(told)
    (family,) = learner.predict(past(1, FAMILY, highest=0.0, p90=-0.01, median=-0.02, lowest=-0.5))
    assert within[-1] <= family[-1]
    assert beyond[-1] > 2.5
