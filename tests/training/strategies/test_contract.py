"""Every strategy against the training of one process with the same seed.

Synchronous ones: losses, scores and weights within 1e-6 in fp64. The others: a bound of their own, said below.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.registry import STRATEGIES, strategy_class
from crowdrun.training.strategies.settings import SETTINGS, strategy_spec

sys.path.insert(0, str(Path(__file__).parent))
from contract import CASES, COMPARED, Case, go_on, train

#: All trainings are made when the first test asks for one.
pytestmark = pytest.mark.timeout(600)

Trained = Callable[[str, int], list[dict[str, Any]]]
SAMPLES = 25
#: Cases that take the steps of one process, though their strategy has others that do not.
ALSO_EXACT = {"top-all", "server", "server-adamw", "server-micro"}
#: Case -> how far the last epoch's loss may be from that of one process, and why.
BOUNDS = {
    "fp16": 1e-3,  # 11 bits of each gradient
    "bf16": 1e-2,  # 8 bits
    "powersgd": 0.02,  # two of 512 directions, with error feedback
    "one-bit": 0.2,  # a sign and one scale for each part of a bucket, with error feedback
    "top-k": 0.25,  # one gradient of a hundred, with error feedback
    "local-sgd": 0.05,  # two steps apart between averages
    "federated": 0.1,  # an epoch apart, unequal shards
    "asynchronous": 0.2,  # gradients of older weights
    "stale-synchronous": 0.2,  # the same, at most two steps older
}


def runs(exact: bool) -> list[tuple[str, int]]:
    exactly = {name for name, case in CASES.items() if strategy_class(strategy_spec(case.strategy)).synchronous}
    chosen = exactly | ALSO_EXACT
    return [(name, n) for name, case in CASES.items() for n in case.ranks if (name in chosen) == exact]


@pytest.fixture(scope="session")
def single(alone: Ranks) -> Callable[[Case], dict[str, Any]]:
    """The training of one process, each kind once."""
    kept: dict[str, dict[str, Any]] = {}

    def of(case: Case) -> dict[str, Any]:
        key = repr((case.training_options(), case.epochs))
        if key not in kept:
            options = {name: value for name, value in case.options.items() if name != "micro_batch"}
            kept[key] = train(Case(strategy={"name": "single"}, options=options, epochs=case.epochs), alone)
        return kept[key]

    return of


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize(("name", "ranks"), runs(exact=True))
def test_a_synchronous_strategy_takes_the_steps_of_one_process(
    name: str, ranks: int, trained: Trained, single: Callable[[Case], dict[str, Any]]
) -> None:
    alone = single(CASES[name])
    seen = trained(name, ranks)
    if "division" not in CASES[name].options:  # else the batches are others, and have to be compared otherwise
        for rank in seen:
            assert largest_difference(rank["weights"], alone["weights"]) < 1e-6
            assert [loss for _, loss in rank["losses"]] == pytest.approx([x for _, x in alone["losses"]], abs=1e-6)
            assert rank["scores"] == pytest.approx(alone["scores"])
    assert all(rank["parameters"] == alone["parameters"] for rank in seen)


@pytest.mark.parametrize(("name", "ranks"), runs(exact=False))
def test_another_strategy_learns_as_well_within_its_bound(
    name: str, ranks: int, trained: Trained, single: Callable[[Case], dict[str, Any]]
) -> None:
    alone = [loss for _, loss in single(CASES[name])["losses"]]
    losses = [loss for _, loss in trained(name, ranks)[0]["losses"]]
    assert losses[-1] == pytest.approx(alone[-1], abs=BOUNDS[name])
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("name", "ranks"), runs(exact=True) + runs(exact=False))
def test_every_sample_is_seen_once_an_epoch_and_all_ranks_end_with_the_same_weights(
    name: str, ranks: int, trained: Trained
) -> None:
    seen = trained(name, ranks)
    assert [rank["losses"] for rank in seen] == [seen[0]["losses"]] * ranks
    assert [samples for samples, _ in seen[0]["losses"]] == [SAMPLES] * CASES[name].epochs
    assert max(largest_difference(rank["weights"], seen[0]["weights"]) for rank in seen) == 0


#: Cases of which every training is another, since gradients come in another order.
UNORDERED = {"asynchronous", "stale-synchronous"}
#: Cases that two ranks go on with after four, though their steps are not those of one process.
SAME_BATCHES = {name for name, case in CASES.items() if "division" not in case.options}
RESIZED = [name for name, n in runs(exact=True) if n == 2 and 4 in CASES[name].ranks and name in SAME_BATCHES]
ORDERED = [run for run in runs(exact=True) + runs(exact=False) if run[0] not in UNORDERED]


@pytest.mark.parametrize(("name", "ranks"), ORDERED)
def test_a_training_that_was_broken_off_within_an_epoch_goes_on_bit_for_bit(
    name: str, ranks: int, trained: Trained
) -> None:
    for rank in trained(name, ranks):
        assert rank["resumed"]["start"] > 0
        assert rank["resumed"]["losses"] == [loss for _, loss in rank["losses"]][:COMPARED]
        assert largest_difference(rank["resumed"]["weights"], rank["early"]) == 0


@pytest.mark.parametrize(("name", "ranks"), [run for run in runs(exact=False) if run[0] in UNORDERED])
def test_workers_that_do_not_wait_go_on_and_learn(name: str, ranks: int, trained: Trained) -> None:
    seen = trained(name, ranks)[0]
    assert seen["resumed"]["losses"] == pytest.approx([loss for _, loss in seen["losses"]][:COMPARED], abs=BOUNDS[name])
    assert seen["resumed"]["losses"][-1] < seen["resumed"]["losses"][0]


@pytest.mark.parametrize("name", RESIZED)
def test_two_ranks_go_on_with_what_four_have_begun(
    name: str, trained: Trained, single: Callable[[Case], dict[str, Any]]
) -> None:
    alone = single(CASES[name])
    limit = 1e-6 if CASES[name].training_options().precision == "fp64" else 1e-5
    for rank in trained(name, 2):
        assert rank["resized"]["losses"] == pytest.approx([x for _, x in alone["losses"]], abs=limit)
        assert largest_difference(rank["resized"]["weights"], alone["weights"]) < limit


@pytest.mark.parametrize("name", ["ddp", "fsdp", "zero1", "tensor", "server", "1f1b"])
def test_one_rank_goes_on_with_what_four_have_begun(
    name: str, trained: Trained, single: Callable[[Case], dict[str, Any]], alone: Ranks, tmp_path: Path
) -> None:
    trained(name, 4)
    shutil.copytree(trained.folder(4) / "broken-off" / name, tmp_path / name)  # type: ignore[attr-defined]
    seen, without_break = go_on(CASES[name], alone, tmp_path / name), single(CASES[name])
    assert seen["start"] > 0
    assert seen["losses"] == pytest.approx([x for _, x in without_break["losses"]], abs=1e-6)
    assert largest_difference(seen["weights"], without_break["weights"]) < 1e-6


@pytest.mark.parametrize("ranks", [2, 4])
def test_one_bit_gradients_take_thirty_times_fewer_bytes_on_the_wire(ranks: int, trained: Trained) -> None:
    """Measured by the kernel, with all that goes over the same connections; against fp32."""
    whole = sum(rank["sent_bytes"] for rank in trained("ddp-wide", ranks))
    bits = sum(rank["sent_bytes"] for rank in trained("one-bit", ranks))
    assert whole / bits >= 30


@pytest.mark.parametrize(("name", "times"), [("fp16", 1.9), ("bf16", 1.9), ("powersgd", 20), ("top-k", 40)])
def test_other_compressed_gradients_take_fewer_bytes_too(name: str, times: float, trained: Trained) -> None:
    whole = sum(rank["sent_bytes"] for rank in trained("ddp-wide", 2))
    assert whole / sum(rank["sent_bytes"] for rank in trained(name, 2)) > times


@pytest.mark.parametrize("ranks", [2, 4])
def test_stale_workers_are_never_further_apart_than_the_bound_and_one_step(ranks: int, trained: Trained) -> None:
    gaps = [rank["report"]["largest_clock_gap"] for rank in trained("stale-synchronous", ranks)]
    bound = CASES["stale-synchronous"].strategy["bound"]
    # A slow worker makes the others run up to the bound, so that it is really tested.
    assert max(gaps) == bound + 1


def test_workers_that_wait_for_nobody_run_away_from_a_slow_one_and_synchronous_ones_do_not(trained: Trained) -> None:
    assert max(rank["report"]["largest_clock_gap"] for rank in trained("asynchronous", 2)) > 3
    assert max(rank["report"]["largest_clock_gap"] for rank in trained("server", 2)) <= 1


def test_the_route_of_a_sum_is_measured_and_all_ranks_take_the_same(trained: Trained) -> None:
    reports = [rank["report"] for rank in trained("hierarchical", 4)]
    times = {route: reports[0][f"{route}_s"] for route in ("flat", "leader", "torus")}
    assert all(report == reports[0] for report in reports)
    assert times[reports[0]["route"]] == min(times.values())


def test_a_pipeline_gives_every_layer_to_one_stage(trained: Trained) -> None:
    spans = [rank["report"]["layers"] for rank in trained("interleaved", 2)]
    layers = [layer for text in spans for span in text.split(", ") for layer in _span(span)]
    assert sorted(layers) == list(range(17))
    assert all(len(text.split(", ")) == 2 for text in spans)


def _span(text: str) -> range:
    first, last = text.split("-")
    return range(int(first), int(last) + 1)


def test_every_strategy_has_settings_and_a_case_of_the_contract() -> None:
    assert STRATEGIES.keys() == SETTINGS.keys()
    assert {case.strategy["name"] for case in CASES.values()} | {"single"} == STRATEGIES.keys()
