from pathlib import Path
from typing import Any

import pytest
import torch

from crowdrun.data.errors import DatasetError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.batches import train_shares
from crowdrun.training.datasets.shards import fetching
from crowdrun.training.datasets.shards.samples import ShardedSamples
from crowdrun.training.datasets.shards.writing import write_shards
from crowdrun.training.ranks import Ranks
from tests.training.datasets.shards.conftest import EACH, SAMPLES, DroppingServer

CPU = torch.device("cpu")


def numbers(samples: ShardedSamples, *, rank: int = 0, of: int = 1, start: int = 0, **options: Any) -> list[list[int]]:
    """The samples of each of a rank's steps."""
    told = TrainingOptions(batch_size=6, seed=3, **options)
    shares = train_shares(samples, told, Ranks(rank=rank, world_size=of, device=CPU), epoch=1, start=start)
    return [[int(index) for index in share.batch[1]][: share.samples] for share in shares]


def test_every_sample_is_what_was_written(folder: Path, tmp_path: Path) -> None:
    samples = ShardedSamples(str(folder), cache=tmp_path / "cache")
    assert len(samples) == SAMPLES
    for index in (0, 7, 8, 49):
        values, label = samples[index]
        assert (values.shape, float(values[0, 0]), int(label)) == ((3, 4), index, index)
    with pytest.raises(IndexError):
        samples[SAMPLES]


def test_members_of_any_kind_are_read_by_their_names(tmp_path: Path) -> None:
    write_shards(
        ({"txt": f"text {index}".encode(), "cls": b"%d" % index} for index in range(5)), tmp_path / "texts", each=2
    )
    samples = ShardedSamples(
        f"file://{tmp_path}/texts",
        cache=tmp_path / "cache",
        decode=lambda members: (torch.tensor(list(members["txt"])), torch.tensor(int(members["cls"]))),
    )
    assert bytes(samples[3][0].tolist()) == b"text 3"


@pytest.mark.parametrize("division", ["shuffled", "non-overlapping"])
def test_over_ranks_each_sample_comes_once_and_the_stream_goes_on_exactly_where_it_was(
    folder: Path, tmp_path: Path, division: str
) -> None:
    seen = []
    for rank in range(3):
        whole = numbers(ShardedSamples(str(folder), cache=tmp_path / "a"), rank=rank, of=3, division=division)
        later = numbers(ShardedSamples(str(folder), cache=tmp_path / "b"), rank=rank, of=3, division=division, start=4)
        assert later == whole[4:]
        seen += [index for step in whole for index in step]
    assert sorted(seen) == list(range(SAMPLES))


def test_the_order_stays_within_a_window_of_shards_and_changes_with_the_epoch(folder: Path, tmp_path: Path) -> None:
    samples = ShardedSamples(str(folder), cache=tmp_path / "cache", window=2)
    one, other = (samples.order(range(SAMPLES), torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert sorted(one) == sorted(other) == list(range(SAMPLES))
    assert one != other
    shards = [index // EACH for index in one]
    under_way = [len(set(shards[:place]) & set(shards[place:])) for place in range(SAMPLES)]
    assert max(under_way) == 2
    assert one != sorted(one, key=lambda index: shards.index(index // EACH))


def test_the_cache_holds_no_more_than_its_limit_and_what_is_used_stays_open(folder: Path, tmp_path: Path) -> None:
    size = (folder / "000000.tar").stat().st_size
    samples = ShardedSamples(str(folder), cache=tmp_path / "cache", limit_mb=2.5 * size / 2**20, window=3)
    for index in (0, 8, 16, 24, 32, 40, 1, 9):
        assert int(samples[index][1]) == index
        assert len(list((tmp_path / "cache").glob("*.tar"))) <= 2


def test_a_server_that_drops_connections_costs_tries_but_no_sample(
    server: DroppingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(fetching, "PIECE_BYTES", 4096)
    server.drop_every = 3
    samples = ShardedSamples(server.url, cache=tmp_path / "cache")
    assert sorted(index for step in numbers(samples) for index in step) == list(range(SAMPLES))
    pieces = sum(-(-file.stat().st_size // 4096) for file in (tmp_path / "cache").glob("*.tar"))
    assert len(server.asked) > pieces


def test_a_fetch_that_was_killed_goes_on_where_it_ended(
    server: DroppingServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PIECE_BYTES", 4096)
    cache = tmp_path / "cache"
    cache.mkdir()
    content = (folder / "000000.tar").read_bytes()
    (cache / "000000.part").write_bytes(content[: len(content) - 100])
    assert int(ShardedSamples(server.url, cache=cache)[0][1]) == 0
    assert server.asked == ["000000.tar"]


def test_a_shard_that_is_not_what_the_index_says_is_fetched_again_and_then_refused(
    server: DroppingServer, folder: Path, tmp_path: Path
) -> None:
    content = bytearray((folder / "000001.tar").read_bytes())
    content[600] ^= 1
    (folder / "000001.tar").write_bytes(content)
    samples = ShardedSamples(server.url, cache=tmp_path / "cache")
    with pytest.raises(DatasetError, match=r"000001.tar is not what the index says"):
        samples[8]
    assert server.asked == ["000001.tar"] * 2
    assert not list((tmp_path / "cache").glob("*.tar"))


def test_a_shard_that_is_gone_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_WAIT_S", 0.0)
    samples = ShardedSamples(str(folder), cache=tmp_path / "cache")
    (folder / "000002.tar").unlink()
    with pytest.raises(DatasetError, match=r"000002.tar could not be read in 6 tries: FileNotFoundError"):
        samples[16]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/nowhere/at/all", "is no index of shards"),
        ("nonsense://x/y", "Protocol not known: nonsense"),
    ],
)
def test_an_address_without_shards_is_an_error(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        ShardedSamples(url, cache=tmp_path / "cache")


def test_no_samples_and_shards_of_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no sample"):
        write_shards([], tmp_path, each=4)
    with pytest.raises(DatasetError, match="each is 0"):
        write_shards([{"x": b""}], tmp_path, each=0)
