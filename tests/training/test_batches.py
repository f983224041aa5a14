from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from crowdrun.data.task import DIVISIONS as NAMES
from crowdrun.data.task import TrainingOptions
from crowdrun.training.batches import DIVISIONS, divide, private_shares, train_shares
from crowdrun.training.datasets.base import InMemory
from crowdrun.training.ranks import Ranks

SAMPLES = TensorDataset(torch.arange(23))


def rank(number: int, of: int) -> Ranks:
    return Ranks(rank=number, world_size=of, device=torch.device("cpu"))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_the_shares_of_all_ranks_are_the_global_batches(world_size: int) -> None:
    order = [5, 3, 9, 1, 7, 2, 8, 0, 4, 6]
    ranks = [divide(order, batch_size=4, rank=rank, world_size=world_size) for rank in range(world_size)]
    for step, batch in enumerate(([5, 3, 9, 1], [7, 2, 8, 0], [4, 6])):
        shares = [ranks[rank][step] for rank in range(world_size)]
        assert sorted(i for share, _ in shares for i in share) == sorted(batch)
        assert {together for _, together in shares} == {len(batch)}
        assert max(len(share) for share, _ in shares) - min(len(share) for share, _ in shares) <= 1


@pytest.mark.parametrize("division", NAMES)
@pytest.mark.parametrize("batch_size", [1, 2, 4, 7, 11, 23, 64])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 5])
def test_each_sample_comes_exactly_once_an_epoch_and_all_ranks_take_as_many_steps(
    division: str, batch_size: int, world_size: int
) -> None:
    options = TrainingOptions(batch_size=batch_size, division=division)
    ranks = [list(train_shares(SAMPLES, options, rank(n, world_size), epoch=1)) for n in range(world_size)]
    seen = Counter(int(i) for shares in ranks for share in shares for i in share.batch[0][: share.samples])
    assert seen == Counter(range(23))
    assert len({len(shares) for shares in ranks}) == 1
    for shares in zip(*ranks, strict=True):
        assert {share.together for share in shares} == {sum(share.samples for share in shares)}
        assert all(len(share.batch[0]) == max(1, share.samples) for share in shares)


def test_an_epoch_has_an_order_of_its_own_which_does_not_depend_on_the_number_of_ranks() -> None:
    options = TrainingOptions(batch_size=6)

    def batches(epoch: int, of: int) -> list[list[int]]:
        ranks = [list(train_shares(SAMPLES, options, rank(n, of), epoch=epoch)) for n in range(of)]
        return [
            sorted(int(i) for share in shares for i in share.batch[0][: share.samples])
            for shares in zip(*ranks, strict=True)
        ]

    assert batches(0, 1) == batches(0, 2) == batches(0, 4)
    assert batches(0, 1) != batches(1, 1)


def test_without_overlap_a_rank_keeps_to_its_own_samples_in_every_epoch() -> None:
    options = TrainingOptions(batch_size=6, division="non-overlapping")
    for number in range(3):
        kept = [
            {int(i) for share in train_shares(SAMPLES, options, rank(number, 3), epoch=epoch) for i in share.batch[0]}
            for epoch in range(3)
        ]
        assert kept[0] == kept[1] == kept[2] == set(range(23 * number // 3, 23 * (number + 1) // 3))


def test_private_samples_are_as_unequal_as_asked_and_nobody_elses() -> None:
    options = TrainingOptions(batch_size=6)
    seen = [
        [
            int(i)
            for share in private_shares(SAMPLES, options, rank(n, 2), epoch=0, parts=(3, 1))
            for i in share.batch[0]
        ]
        for n in range(2)
    ]
    assert [sorted(own) for own in seen] == [list(range(17)), list(range(17, 23))]


def test_every_division_that_an_option_names_is_there() -> None:
    assert tuple(DIVISIONS) == NAMES


class OneByOne(Dataset[Any]):
    """The same samples, of which nobody knows that they are rows of tensors."""

    def __init__(self, samples: Any) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, place: int) -> Any:
        return self._samples[place]


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize("samples", [TensorDataset, partial(InMemory, "made up")])
def test_batches_of_rows_of_tensors_are_those_that_a_data_loader_makes(samples: Any, precision: str) -> None:
    made = samples(torch.randn(23, 2, 3).transpose(1, 2), torch.arange(23), torch.rand(23) > 0.5)
    options = TrainingOptions(batch_size=6, precision=precision)
    shares = [list(train_shares(one, options, rank(0, 2), epoch=3, start=1)) for one in (made, OneByOne(made))]
    assert len(shares[0]) == 3
    for quick, usual in zip(*shares, strict=True):
        assert (quick.samples, quick.together) == (usual.samples, usual.together)
        for own, other in zip(quick.batch, usual.batch, strict=True):
            assert own.dtype == other.dtype
            assert own.stride() == other.stride()
            assert torch.equal(own, other)
