import pytest

from crowdrun.training.batches import divide


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_the_shares_of_all_ranks_are_the_global_batches(world_size: int) -> None:
    order = [5, 3, 9, 1, 7, 2, 8, 0, 4, 6]
    ranks = [divide(order, batch_size=4, rank=rank, world_size=world_size) for rank in range(world_size)]
    for step, batch in enumerate(([5, 3, 9, 1], [7, 2, 8, 0], [4, 6])):
        shares = [ranks[rank][step] for rank in range(world_size)]
        assert sorted(i for share, _ in shares for i in share) == sorted(batch)
        assert {together for _, together in shares} == {len(batch)}
        assert max(len(share) for share, _ in shares) - min(len(share) for share, _ in shares) <= 1
