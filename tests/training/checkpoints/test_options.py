import re
from typing import Any

import pytest

from crowdrun.data.errors import ConfigError
from crowdrun.training.checkpoints.options import CheckpointOptions, checkpoint_options


def test_a_table_true_and_false_say_what_is_kept() -> None:
    assert checkpoint_options({"every_steps": 7, "keep": 3}) == CheckpointOptions(every_steps=7, keep=3)
    assert checkpoint_options(True) == CheckpointOptions()
    assert checkpoint_options(False) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"every": 3}, "every is no key of [checkpoint]; allowed are every_s, every_steps, keep"),
        ({"every_s": 0}, "every_s is 0; it must be a number of seconds above 0"),
        ({"every_steps": 2.5}, "every_steps is 2.5; it must be a whole number of 1 or more"),
        ({"keep": None}, "keep is None; it must be a whole number of 1 or more"),
        ("often", "checkpoint is 'often'; it must be a table [checkpoint], or false for no checkpoints"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_is_allowed(value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        checkpoint_options(value)
