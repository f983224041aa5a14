"""What the other steps of an item tell: by hand, over a log, on disk, and never of the future."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.errors import ModelError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.items import ITEM_NAMES, Items, place_of
from crowdrun.predictor.items_table import item_statistics
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.persistence.items_file import ITEMS_FILE, load_items, save_items
from crowdrun.predictor.target import TARGETS_BY_NAME

MEMORY = TARGETS_BY_NAME["mem_mb"]
TRIM, ALIGN = ("ada", "TRIM"), ("ada", "ALIGN")


def sized(sizes: list[float], slope: float = 1.0) -> Items:
    """Items of these sizes, whose ALIGN needs 10 + slope * size."""
    items = Items()
    for number, size in enumerate(sizes):
        item = ("ada", f"s{number}")
        items.observe(item, TRIM, 5.0 + size, math.nan)
        items.observe(item, ALIGN, 8.0 + size, 10.0 + slope * size)
    return items


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_the_value_follows_the_size_of_the_item(slope: float) -> None:
    items = sized([0.0, 1.0, 2.0, 3.0, 4.0, 1.5, 2.5, 0.5], slope)
    items.observe(("ada", "new"), TRIM, 5.0 + 2.2, math.nan)
    told = items.estimate(("ada", "new"), ALIGN)
    assert told is not None
    assert told.value_log2 == pytest.approx(10.0 + slope * 2.2, abs=0.15)
    assert told.items == 8


def test_nothing_is_told_of_an_item_whose_first_step_this_is() -> None:
    items = sized([0.0, 1.0, 2.0, 3.0])
    assert items.estimate(("ada", "new"), ALIGN) is None
    assert items.statistics(None)[2:] == (0.0, 0.0)


def test_nothing_is_told_by_too_few_items_or_by_items_of_one_size() -> None:
    for sizes in ([0.0, 3.0], [2.0, 2.0, 2.0, 2.0]):
        items = sized(sizes)
        items.observe(("ada", "new"), TRIM, 7.0, math.nan)
        assert items.estimate(("ada", "new"), ALIGN) is None


def test_items_of_other_users_are_other_items() -> None:
    mine, theirs = (place_of(JobRequest(user=user, job_name="ALIGN (s1)", command="ALIGN")) for user in ("a", "b"))
    assert mine is not None
    assert theirs is not None
    assert mine[0] != theirs[0]
    assert place_of(JobRequest(user="a", job_name="train-7")) is None


def test_a_step_that_needs_no_more_beyond_some_size_is_drawn_on_less_than_a_straight_line_would() -> None:
    items = Items()
    sizes = np.arange(16) / 4
    values = 10.0 + np.minimum(sizes, 1.5)
    for number, (size, value) in enumerate(zip(sizes, values, strict=True)):
        items.observe(("ada", f"s{number}"), TRIM, 5.0 + size, math.nan)
        items.observe(("ada", f"s{number}"), ALIGN, 8.0 + size, value)
    items.observe(("ada", "new"), TRIM, 5.0 + 5.0, math.nan)
    told = items.estimate(("ada", "new"), ALIGN)
    assert told is not None
    straight = np.polyval(np.polyfit(sizes, values, 1), 5.0)
    assert 11.5 - 0.1 < told.value_log2 < straight - 0.25


def workflow(samples: int) -> pd.DataFrame:
    """TRIM and then ALIGN of each sample, one sample an hour; ALIGN needs as much as TRIM ran long."""
    rows = []
    for number in range(samples):
        start, run = 3600.0 * number, 60.0 * 2 ** (number % 4)
        for step, (name, begun) in enumerate((("TRIM", start), ("ALIGN", start + 1800.0))):
            rows.append(
                {"job_id": f"{number}.{step}", "user": "ada", "command": name, "job_name": f"{name} (s{number})",
                 "state": "COMPLETED", "submit_time": begun, "start_time": begun, "end_time": begun + run,
                 "peak_mem_mb": 1000.0 * 2 ** (number % 4) if step else 500.0}
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_over_a_log_no_figure_changes_when_the_future_is_cut_off() -> None:
    jobs = workflow(12)
    whole, part = (LearningLog.of(some) for some in (jobs, jobs.iloc[:16]))
    told = item_statistics(whole, whole.values_log2(MEMORY), Items())
    before = item_statistics(part, part.values_log2(MEMORY), Items())
    assert told.shape == (24, len(ITEM_NAMES))
    np.testing.assert_array_equal(told[:16], before)
    assert not np.isnan(told[-1, 0])
    assert told[-1, 0] == pytest.approx(np.log2(1000.0 * 2**3), abs=0.3)


def test_what_is_loaded_tells_the_same(tmp_path: Path) -> None:
    items = sized([0.0, 1.0, 2.0, 3.0, 4.0])
    items.observe(("ada", "new"), TRIM, 6.0, math.nan)
    save_items(items, tmp_path)
    assert load_items(tmp_path).estimate(("ada", "new"), ALIGN) == items.estimate(("ada", "new"), ALIGN)


@pytest.mark.parametrize("content", ["", "{}", '{"families":[],"items":[{"item":["a"],"runs":[[3,1.0]]}]}'])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / ITEMS_FILE).write_text(content)
    with pytest.raises(ModelError, match=ITEMS_FILE):
        load_items(tmp_path)
