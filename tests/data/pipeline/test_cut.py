import itertools

import pytest

from crowdrun.data.pipeline.cut import balanced


@pytest.mark.parametrize("costs", [[1, 2, 3, 4, 5, 6], [9, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 9], [5, 1, 5, 1, 5, 1]])
@pytest.mark.parametrize("stages", [1, 2, 3, 5, 6])
def test_no_other_cut_has_a_faster_slowest_stage(costs: list[float], stages: int) -> None:
    def slowest(cuts: list[int]) -> float:
        return max(sum(costs[a:b]) for a, b in itertools.pairwise(cuts))

    every = [[0, *inner, 6] for inner in itertools.combinations(range(1, 6), stages - 1)]
    cuts = balanced(costs, stages)
    assert cuts in every
    assert slowest(cuts) == pytest.approx(min(slowest(other) for other in every))
