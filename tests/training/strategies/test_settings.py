from typing import Any

import pytest

from crowdrun.data.errors import ConfigError
from crowdrun.training.strategies.settings import SETTINGS, strategy_spec


@pytest.mark.parametrize("name", SETTINGS)
def test_a_strategy_is_made_from_its_name_and_read_back_from_its_table(name: str) -> None:
    spec = strategy_spec(name)
    assert spec.name == name
    assert strategy_spec(spec.to_table()) == spec


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (3, "strategy is 3; it must be a name, or a table"),
        ({}, "strategy is 'None'; it must be one of auto, compressed, ddp"),
        ({"name": "ddp", "bound": 3}, "bound is no setting of the strategy ddp; allowed are none"),
        ({"name": "server", "bounds": 3}, "bounds is no setting of the strategy server; allowed are bound, mode"),
        ({"name": "server", "mode": "slow"}, "mode is 'slow'; it must be one of synchronous, asynchronous"),
        ({"name": "server", "bound": -1}, "bound is -1; it must be a whole number of 0 or more"),
        ({"name": "compressed", "share": 2}, "share is 2; it must be above 0 and at most 1"),
        ({"name": "compressed", "method": "zip"}, "method is 'zip'; it must be one of one-bit, fp16"),
        ({"name": "local-sgd", "private_shares": [1, 0]}, r"private_shares is \[1, 0\]; it must be a list of numbers"),
        ({"name": "pipeline", "micro_batches": 0}, "micro_batches is 0; it must be a whole number of 1 or more"),
        ({"name": "hybrid", "pipeline_ranks": "two"}, "pipeline_ranks is 'two'"),
        ({"name": "hsdp", "shard_ranks": True}, "shard_ranks is True"),
        ({"name": "hierarchical", "route": "ring"}, "route is 'ring'; it must be one of auto, flat, leader, torus"),
    ],
)
def test_a_mistake_says_what_came_and_what_is_allowed(told: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        strategy_spec(told)
