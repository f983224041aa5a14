"""A home folder with a job history and a model that was trained on it, and the service on top."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
import pytest
import uvicorn

from crowdrun.api.app import create_app
from crowdrun.data import store_follow
from crowdrun.data.columns import SCHEMA
from crowdrun.data.settings import Settings, load_settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry


@pytest.fixture(scope="session")
def template_home(tmp_path_factory: pytest.TempPathFactory, job_log: pd.DataFrame, crowd: Crowd) -> Path:
    """A home whose store holds `job_log`, and whose current model learnt from it."""
    settings = load_settings(environment={"CROWDRUN_HOME": str(tmp_path_factory.mktemp("home"))})
    with JobStore.open(settings.store) as store:
        store.add(pa.Table.from_pandas(job_log, schema=SCHEMA, preserve_index=False), source="test")
        position = store_follow.position(store)
    registry.publish(crowd, settings.models_dir, store_position=position)
    return settings.home


@pytest.fixture
def settings(template_home: Path, crowdrun_home: Path) -> Settings:
    """Settings of the test's own copy of that home."""
    shutil.copytree(template_home, crowdrun_home)
    return load_settings()


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """The REST service under uvicorn in a thread of this process, and a client for it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def service(settings: Settings) -> Iterator[httpx.Client]:
    """The REST service on that home."""
    with serving(settings) as client:
        yield client


@pytest.fixture
def empty_service(crowdrun_home: Path) -> Iterator[httpx.Client]:
    """The REST service on a home without jobs and models."""
    with serving(load_settings()) as client:
        yield client
