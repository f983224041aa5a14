"""Names as keyed hashes, in the store and at prediction; and a person who is forgotten."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crowdrun.data import store_follow
from crowdrun.data.errors import ConfigError, StoreError
from crowdrun.data.job import JobRequest
from crowdrun.data.pseudonyms import Pseudonyms
from crowdrun.data.settings import Settings, load_settings
from crowdrun.data.store import JobStore
from crowdrun.data.store_forget import forget
from crowdrun.data.store_open import open_store


def job(number: int, user: str = "zacharias", **values: object) -> dict[str, object]:
    named = {"group": "physics", "account": "lab7", "job_name": "mistral-7b", "command": "python mistral.py --lr 0.1"}
    return {"job_id": str(number), "user": user, "submit_time": float(number), "state": "COMPLETED", **named, **values}


@pytest.fixture
def hidden() -> Settings:
    """Settings of a home whose names are hashed."""
    return load_settings(options={"pseudonymise": True})


@pytest.fixture
def store(hidden: Settings) -> Iterator[JobStore]:
    with open_store(hidden) as opened:
        yield opened


def content_of(settings: Settings) -> bytes:
    """All bytes of the store on the disk, its write-ahead log too."""
    return b"".join(path.read_bytes() for path in sorted(settings.home.glob("store.sqlite*")))


def test_no_name_is_in_the_file_and_the_same_name_is_the_same_hash(hidden: Settings, store: JobStore) -> None:
    store.add_rows([job(1), job(2)], source="test")
    content = content_of(hidden)
    for name in (b"zacharias", b"physics", b"lab7", b"mistral"):
        assert name not in content
    first, second = store.get("1")[0], store.get("2")[0]
    assert first["user"] == second["user"]
    asked = store.pseudonyms.request(JobRequest(user="zacharias", job_name="mistral-8b")) if store.pseudonyms else None
    assert asked is not None
    assert asked.user == first["user"]
    assert asked.job_name == str(first["job_name"]).replace("-7", "-8")


def test_the_key_is_its_owners_and_a_home_that_has_one_goes_on_hashing(hidden: Settings, store: JobStore) -> None:
    store.add_rows([job(1)], source="test")
    assert (hidden.home / "pseudonyms.key").stat().st_mode & 0o077 == 0
    with open_store(load_settings()) as later:
        later.add_rows([job(2)], source="test")
        assert later.get("2")[0]["user"] == later.get("1")[0]["user"]


def test_adding_hashed_rows_again_changes_nothing(store: JobStore) -> None:
    assert store.add_rows([job(1)], source="test").new == 1
    assert store.add_rows([job(1)], source="test").known == 1
    assert store.add_rows(store.get("1"), source="test").known == 1


def test_plain_and_hashed_names_never_mix(hidden: Settings, tmp_path: Path) -> None:
    plain = f"sqlite:///{tmp_path}/plain.sqlite"
    with JobStore.open(plain) as opened:
        opened.add_rows([job(1)], source="test")
    with pytest.raises(StoreError, match="jobs with plain names"):
        open_store(replace(hidden, store=plain))
    with open_store(hidden):
        pass
    with pytest.raises(StoreError, match=r"a key that is not in this home; put its pseudonyms\.key"):
        JobStore.open(hidden.store)
    with pytest.raises(StoreError, match="another key"):
        JobStore.open(hidden.store, Pseudonyms(b"x" * 32))


def test_a_cut_key_is_refused(hidden: Settings) -> None:
    with open_store(hidden):
        pass
    (hidden.home / "pseudonyms.key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="holds 5 bytes; a key of pseudonyms has 32"):
        open_store(hidden)


@pytest.mark.parametrize("pseudonymise", [True, False])
def test_a_forgotten_user_is_in_no_byte_of_the_file(pseudonymise: bool) -> None:
    settings = load_settings(options={"pseudonymise": pseudonymise})
    with open_store(settings) as store:
        store.add_rows([job(n, "zacharias" if n % 2 else "ada", work_dir=f"/home/u{n % 2}") for n in range(40)], "test")
        # What became known later of a run is another version of it.
        store.add_rows([job(1, peak_mem_mb=5.0)], source="test")
        stored = str(store.get("1")[0]["user"])
        assert forget(store, "zacharias") == 20
        assert store.count() == 20
        assert set(store.jobs()["job_id"]) == {str(n) for n in range(0, 40, 2)}
        assert store.get("1") == []
        assert forget(store, "zacharias") == 0
    content = content_of(settings)
    assert stored.encode() not in content
    assert b"zacharias" not in content


def test_who_follows_the_store_misses_nothing_after_somebody_was_forgotten(tmp_path: Path) -> None:
    with JobStore.open(f"sqlite:///{tmp_path}/store.sqlite") as store:
        store.add_rows([job(1, "ada"), job(2), job(3)], source="test")
        position = store_follow.position(store)
        forget(store, "zacharias")
        store.add_rows([job(4, "eve"), job(5, "eve"), job(6, "eve")], source="test")
        news = store_follow.ended_after(store, position, limit=10)
        assert [one["job_id"] for one in news.jobs] == ["4", "5", "6"]
        with sqlite3.connect(tmp_path / "store.sqlite") as connection:
            assert connection.execute(
                "SELECT count(*) FROM crowdrun_job_versions WHERE user = 'zacharias'"
            ).fetchone() == (0,)
