import itertools

import pytest
from torch import ones, ones_like
from torch.distributed.pipelining._backward import stage_backward_input, stage_backward_weight
from torch.nn import Conv2d, Flatten

from crowdrun.data.pipeline.cut import balanced, stage_of


@pytest.mark.parametrize("costs", [[1, 2, 3, 4, 5, 6], [9, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 9], [5, 1, 5, 1, 5, 1]])
@pytest.mark.parametrize("stages", [1, 2, 3, 5, 6])
def test_no_other_cut_has_a_faster_slowest_stage(costs: list[float], stages: int) -> None:
    def slowest(cuts: list[int]) -> float:
        return max(sum(costs[a:b]) for a, b in itertools.pairwise(cuts))

    every = [[0, *inner, 6] for inner in itertools.combinations(range(1, 6), stages - 1)]
    cuts = balanced(costs, stages)
    assert cuts in every
    assert slowest(cuts) == pytest.approx(min(slowest(other) for other in every))


def test_torch_takes_the_way_back_of_a_stage_apart_that_ends_in_a_view() -> None:
    stage = stage_of([[("0", Conv2d(1, 2, 3)), ("1", Flatten())]])
    images = ones(2, 1, 4, 4, requires_grad=True)
    out = stage(images)
    (of_images, *_), groups = stage_backward_input([out], [ones_like(out)], [images], stage.parameters())
    stage_backward_weight(stage.parameters(), groups)
    assert of_images is not None
    assert of_images.abs().sum() > 0
    assert [parameter.grad is not None for parameter in stage.parameters()] == [True, True]
