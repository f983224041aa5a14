import pytest
import torch

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.learning_rate import LearningRate


def rates(options: TrainingOptions, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=options.learning_rate)
    rule = LearningRate(optimizer, options)
    seen = []
    for step in range(steps):
        rule.before_step(step)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_the_rate_grows_with_the_batch_after_warming_up() -> None:
    options = TrainingOptions(
        batch_size=128, tuned_batch_size=32, rate_rule="linear", warmup_steps=2, learning_rate=0.1
    )
    assert rates(options, 4) == pytest.approx([0.1, 0.25, 0.4, 0.4])


def test_the_rate_grows_with_the_root_of_the_batch_or_not_at_all() -> None:
    root = TrainingOptions(batch_size=128, tuned_batch_size=32, rate_rule="sqrt", learning_rate=0.1)
    assert rates(root, 2) == pytest.approx([0.2, 0.2])
    assert rates(TrainingOptions(batch_size=128, tuned_batch_size=32, learning_rate=0.1), 1) == [0.1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rate_rule": "linear"}, "rate_rule is 'linear', but no tuned_batch_size says from which batch size"),
        ({"rate_rule": "cubic"}, "rate_rule is 'cubic'; it must be one of none, linear, sqrt"),
        ({"warmup_steps": -1}, "warmup_steps is -1; it must be a whole number of 0 or more"),
        ({"tuned_batch_size": 0}, "tuned_batch_size is 0; it must be a whole number of 1 or more"),
        ({"division": "random"}, "division is 'random'; it must be one of shuffled, non-overlapping"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainingOptions(**fields)  # type: ignore[arg-type]
