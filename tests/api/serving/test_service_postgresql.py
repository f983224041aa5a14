"""The service on a real PostgreSQL server, which is killed in the middle and comes back."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import httpx
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from crowdrun.data import store_follow
from crowdrun.data.columns import SCHEMA
from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore
from crowdrun.data.store_forget import forget
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from tests.api.conftest import serving
from tests.api.serving.test_serve import wait_for

pytestmark = pytest.mark.postgresql
JOB = {"user": "user1", "job_name": "traina-7", "req_mem_mb": 16384}
ENDED = {"user": "user1", "job_name": "traina-7", "state": "COMPLETED", "peak_mem_mb": 900.0}


@dataclass(frozen=True, kw_only=True)
class Server:
    """A PostgreSQL server on this machine."""

    binaries: Path
    data: Path
    options: str

    @classmethod
    def at(cls, url: str) -> "Server":
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.connect() as connection:
            data = Path(connection.execute(sa.text("SHOW data_directory")).scalar_one())
            binaries = connection.execute(sa.text("SELECT setting FROM pg_config WHERE name = 'BINDIR'")).scalar_one()
        engine.dispose()
        if not data.is_dir():
            pytest.skip(f"the PostgreSQL server is not on this machine: there is no {data}")
        _, _, _, *options = shlex.split((data / "postmaster.opts").read_text())
        return cls(binaries=Path(binaries), data=data, options=shlex.join(options))

    def kill(self) -> None:
        """All at once, as in a crash: nothing is written back."""
        self._control("--mode=immediate", "stop")

    def start(self) -> None:
        self._control(f"--options={self.options}", f"--log={self.data.parent}/log", "start")

    def _control(self, *what: str) -> None:
        # The server refuses to run as root.
        owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
        command = [*owner, str(self.binaries / "pg_ctl"), f"--pgdata={self.data}", "--wait", *what]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture
def on_postgresql(postgresql_url: str, settings: Settings, job_log: pd.DataFrame, crowd: Crowd) -> Iterator[Settings]:
    """The test's home, its jobs in PostgreSQL."""
    engine = sa.create_engine(sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    schema = f"test_{uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    there = replace(settings, store=f"{postgresql_url}?options=-csearch_path%3D{schema}")
    with JobStore.open(there.store) as store:
        store.add(pa.Table.from_pandas(job_log, schema=SCHEMA, preserve_index=False), source="test")
        registry.publish(crowd, there.models_dir, store_position=store_follow.position(store))
    yield there
    engine.dispose()
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


def test_it_answers_while_its_database_is_away_and_learns_again_when_it_is_back(
    on_postgresql: Settings, postgresql_url: str
) -> None:
    def send(number: int) -> httpx.Response:
        times = {"submit_time": 1.8e9 + number, "start_time": 1.8e9 + number, "end_time": 1.8e9 + number + 60}
        return client.post("/v1/jobs", json=ENDED | times | {"job_id": f"p{number}"})

    server = Server.at(postgresql_url)
    with serving(on_postgresql) as client:
        known = client.post("/v1/predict", json=JOB).json()["predictions"]["mem_mb"]["evidence"]["jobs"]
        assert send(1).json() == {"new": 1, "known": 0}
        server.kill()
        try:
            assert client.post("/v1/predict", json=JOB).status_code == 200
            for refused in (send(2), client.get("/readyz"), client.get("/v1/jobs/p1"), client.get("/v1/report/usage")):
                assert refused.status_code == 503
                assert refused.headers["content-type"] == "application/problem+json"
            assert client.get("/healthz").status_code == 200
        finally:
            server.start()
        wait_for(lambda: client.get("/readyz").status_code == 200)
        assert send(1).json() == {"new": 0, "known": 1}
        assert send(2).json() == {"new": 1, "known": 0}
        wait_for(
            lambda: (
                client.post("/v1/predict", json=JOB).json()["predictions"]["mem_mb"]["evidence"]["jobs"] == known + 2
            )
        )
        assert client.get("/v1/report/usage").json()["total"]["jobs"] == 402


def test_a_person_is_forgotten_there_too(on_postgresql: Settings) -> None:
    with JobStore.open(on_postgresql.store) as store:
        position = store_follow.position(store)
        assert forget(store, "user1") == 80
        assert store.count() == 320
        store.add_rows([ENDED | {"job_id": "late", "user": "eve", "submit_time": 1.9e9}], source="test")
        assert [one["job_id"] for one in store_follow.ended_after(store, position, 10).jobs] == ["late"]
