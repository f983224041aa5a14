"""The rule of the stale-synchronous server, without processes: who may go on, and when."""

import torch

from crowdrun.data.task import TrainingOptions
from crowdrun.training.models import lenet
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.base import Setup
from crowdrun.training.strategies.server_shard import Shard
from crowdrun.training.strategies.settings import ServerSettings


def shard(mode: str, bound: int = 1) -> Shard:
    ranks = Ranks(rank=0, world_size=2, device=torch.device("cpu"))
    options = TrainingOptions(optimizer="sgd", learning_rate=1.0)
    setup = Setup(task=lenet, options=options, ranks=ranks)
    return Shard(torch.zeros(1), setup, ServerSettings(mode=mode, bound=bound))


def test_a_worker_is_held_when_it_is_more_than_the_bound_ahead_and_let_go_when_the_slow_one_moves() -> None:
    servers, answers = shard("stale-synchronous"), []
    servers.push(0, 1, torch.ones(1), lambda part: answers.append((0, part.item())))
    servers.push(0, 2, torch.ones(1), lambda part: answers.append((0, part.item())))
    assert [worker for worker, _ in answers] == [0]
    servers.push(1, 1, torch.ones(1), lambda part: answers.append((1, part.item())))
    assert [worker for worker, _ in answers] == [0, 0, 1]
    assert servers.largest_gap == 2


def test_synchronous_workers_wait_for_each_other_and_take_one_step_together() -> None:
    servers, answers = shard("synchronous"), []
    servers.push(0, 1, torch.ones(1), lambda part: answers.append(part.item()))
    assert not answers
    servers.push(1, 1, 2 * torch.ones(1), lambda part: answers.append(part.item()))
    assert answers == [-3.0, -3.0]


def test_asynchronous_workers_are_answered_at_once() -> None:
    servers, answers = shard("asynchronous"), []
    for clock in range(1, 9):
        servers.push(0, clock, torch.ones(1), lambda part: answers.append(part.item()))
    assert len(answers) == servers.largest_gap == 8
