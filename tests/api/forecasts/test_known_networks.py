"""What may be told of a built-in network from outside."""

import pytest

from crowdrun.api.forecasts.known_networks import OPTIONS, known_network
from crowdrun.data.description.model import KnownModel
from crowdrun.data.errors import DescriptionError
from crowdrun.training.models.table import BUILT_IN


def test_every_built_in_network_says_what_options_it_has() -> None:
    assert OPTIONS.keys() == BUILT_IN.keys()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "did you mean resnet-50|did you mean resnet-18"),
        ("resnet-50", {"samples": 5}, "options.samples is no option of resnet-50; they are side, classes"),
        ("lenet", {"side": 5}, "it has none"),
        ("gpt2", {"length": 5000}, "it must be a whole number from 1 to 1024"),
        ("gpt2", {"length": True}, "it must be a whole number"),
        ("thin-resnet", {"checkpoint": 1}, "it must be true or false"),
    ],
)
def test_a_name_or_an_option_that_is_not_known_is_refused(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        known_network(KnownModel(architecture=name, options=options))
