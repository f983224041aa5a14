"""POST /v1/estimate: what is told, what is refused, and the process that traces."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from crowdrun.api.client import Client, Patience
from crowdrun.api.commands.estimate import command
from crowdrun.api.forecasts import estimates
from crowdrun.api.forecasts.estimate_worker import estimated
from crowdrun.api.forecasts.estimates import Estimates
from crowdrun.api.schemas.estimate import EstimateBody
from crowdrun.data.errors import BusyError, ServiceError, TooLongError
from crowdrun.data.settings import load_settings
from crowdrun.predictor.gpu_memory.learned.learning import learn
from tests.api.conftest import serving
from tests.predictor.gpu_memory.learned.steps import made_up

DENSE = {"input": {"shape": [64]}, "layers": [{"kind": "linear", "features": 256}, {"kind": "linear", "features": 10}]}
SMALL = {"model": DENSE, "batch_size": 64}
#: Takes many seconds to trace.
LONG = {"model": {"architecture": "thin-resnet", "options": {"layers": 20_000}}}
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def traced() -> Iterator[Estimates]:
    """One that answers, and its process, for several tests."""
    made = Estimates(trace_s=PATIENCE_S, risk=0.05)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = str(tmp_path_factory.mktemp("home"))
    settings = load_settings(environment={"CROWDRUN_HOME": home, "CROWDRUN_TRUST_LOCAL": "submit"})
    with serving(replace(settings, time_limit_s=PATIENCE_S, rate_per_s=1e9)) as client:
        client.timeout = httpx.Timeout(2 * PATIENCE_S)
        yield client


def body(content: object) -> EstimateBody:
    return EstimateBody.model_validate(content)


def ask(told: Estimates, content: object) -> dict[str, object]:
    return told.ask(body(content), threading.Event(), time.monotonic() + PATIENCE_S)


def test_the_answer_is_what_the_forecast_says_here(service: httpx.Client) -> None:
    content = SMALL | {"precision": "bf16", "optimizer": "sgd", "depth": 2, "fit": {"limit_mb": 8192, "risk": 0.1}}
    answer = service.post("/v1/estimate", json=content)
    assert answer.status_code == 200, answer.text
    assert answer.json() == estimated(body(content)).model_dump()
    assert answer.json()["fit"]["fits"] is True


def test_each_rank_of_a_pipeline_is_answered(service: httpx.Client) -> None:
    content = SMALL | {"strategy": "hybrid", "world_size": 4, "schedule": "gpipe", "micro_batches": 2}
    answer = service.post("/v1/estimate", json=content).json()
    assert (answer["micro_batch"], [one["layers"] for one in answer["each_rank"]]) == (16, ["0-0", "1-1"])


def test_a_client_asks_by_the_name_of_a_network(service: httpx.Client) -> None:
    with Client(str(service.base_url)) as client:
        told = client.estimate({"architecture": "LeNet"}, batch_size=128, strategy="ddp", world_size=2)
        assert told.micro_batch == 64
        assert told.parameters == 61_706
        with pytest.raises(ServiceError, match="did you mean resnet-50"):
            client.estimate({"architecture": "resnet-5"})


def test_the_command_line_shows_what_the_service_says_as_what_it_says_itself(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["lenet", "--batch", "64", "--strategy", "ddp", "--world", "2", "--depth", "2"]
    here = CliRunner().invoke(command, asked, catch_exceptions=False)
    monkeypatch.setenv("CROWDRUN_URL", str(service.base_url))
    there = CliRunner().invoke(command, [*asked, "--remote", "--fit", "8GB"], catch_exceptions=False)
    assert there.stdout.startswith(here.stdout)
    assert "it fits into 8" in there.stdout


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["task.py"], "task.py is code, which the service does not run"),
        (["lenet", "--device", "cpu"], "not known to the service"),
        (["lenet", "--option", "side=3"], "options.side is no option of lenet"),
    ],
)
def test_what_the_service_cannot_be_asked_is_said(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch, asked: list[str], message: str
) -> None:
    monkeypatch.setenv("CROWDRUN_URL", str(service.base_url))
    result = CliRunner().invoke(command, [*asked, "--remote"])
    assert message in str(result.exception)


def test_what_was_learned_of_the_cards_is_what_the_service_says(tmp_path: Path) -> None:
    learned = tmp_path / "cards"
    learn(made_up(), "a made-up card").save(learned)
    variables = {"CROWDRUN_HOME": str(tmp_path), "CROWDRUN_TRUST_LOCAL": "submit", "CROWDRUN_CORRECTION": str(learned)}
    with serving(replace(load_settings(environment=variables), time_limit_s=PATIENCE_S)) as client:
        client.timeout = httpx.Timeout(2 * PATIENCE_S)
        traced = client.post("/v1/estimate", json=SMALL | {"fit": {"limit_mb": 8192, "risk": 0.1}}).json()
        assert traced["device_basis"].startswith("a made-up card")
        assert traced["fit"]["needed_mb"] > traced["device_mb"] > 1700


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "model: Field required"),
        ({"model": DENSE | {"layers": [{"kind": "linear", "features": 0}]}}, "model.layers[0].features is 0; it must"),
        ({"model": DENSE | {"layers": [{"kind": "linear", "features": 8, "x": 1}]}}, "model.layers[0].x is no field"),
        ({"model": DENSE, "batch": 1}, "did you mean batch_size?"),
        ({"model": DENSE | {"input": {"shape": [64], "dtype": "int64"}}}, "only an embedding takes"),
        ({"model": DENSE, "world_size": 2}, "it must be one of ddp, zero1, fsdp, pipeline, hybrid"),
        ({"model": {"architecture": "lenet", "options": {"side": 3}}}, "options.side is no option of lenet"),
        ({"model": {"architecture": "lenet", "options": {"data": "/etc/passwd"}}}, "it must be true, false"),
        ({"model": {"architecture": "gpt2", "options": {"heads": 7}}}, "it must be a multiple of the 7 heads"),
    ],
)  # fmt: skip
def test_what_cannot_be_forecast_is_refused_by_its_place(service: httpx.Client, content: object, message: str) -> None:
    answer = service.post("/v1/estimate", json=content)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert message in answer.json()["detail"]


def test_a_body_that_is_too_large_is_not_read(service: httpx.Client) -> None:
    layers = [{"kind": "linear", "features": 8}] * 40_000
    assert service.post("/v1/estimate", json={"model": DENSE | {"layers": layers}}).status_code == 413


def test_without_torch_the_service_says_what_to_install(service: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "find_spec", lambda _: None)
    answer = service.post("/v1/estimate", json=SMALL | {"batch_size": 65})
    assert answer.status_code == 501
    assert "pip install torch" in answer.json()["detail"]


def test_who_closes_the_connection_ends_the_trace(service: httpx.Client) -> None:
    with Client(str(service.base_url), patience=Patience(attempts=1)) as hasty, pytest.raises(ServiceError):
        hasty.estimate(LONG["model"], timeout_s=3.0)
    # Another trace is not behind the long one, which would take longer than this.
    began = time.monotonic()
    assert service.post("/v1/estimate", json=SMALL | {"batch_size": 66}).status_code == 200
    assert time.monotonic() - began < PATIENCE_S


def test_what_was_asked_before_is_answered_without_the_process(traced: Estimates) -> None:
    first = ask(traced, SMALL)
    process = traced._process
    assert process is not None
    answered = process._answered
    assert ask(traced, SMALL) == first
    assert process._answered == answered


def test_a_process_answers_only_so_many(traced: Estimates, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(traced, SMALL)
    assert traced._process is not None
    assert traced._process.is_fit
    monkeypatch.setattr(estimates, "MOST_ANSWERED", traced._process._answered)
    assert not traced._process.is_fit


def test_a_trace_that_takes_too_long_is_ended_and_the_next_is_answered(
    traced: Estimates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(traced, "_trace_s", 0.2)
        # By the clock it may take any time: others compute too.
        patched.setattr(estimates, "WALL_LIMITS", 1e6)
        with pytest.raises(TooLongError, match=r"longer than 0.2 s of a processor"):
            ask(traced, LONG)
    assert traced._process is None
    assert ask(traced, SMALL | {"batch_size": 67})["parameters"] == 65 * 256 + 257 * 10


def test_a_process_without_its_service_ends_in_the_middle_of_a_trace_and_another_one_answers(traced: Estimates) -> None:
    ask(traced, SMALL | {"batch_size": 68})
    assert traced._process is not None
    popen = traced._process._popen
    assert popen.stdin is not None
    popen.stdin.write(body(LONG).model_dump_json().encode() + b"\n")
    popen.stdin.close()
    assert popen.wait(PATIENCE_S) == 0
    assert ask(traced, SMALL | {"batch_size": 72})["micro_batch"] == 72


def test_who_has_gone_and_who_waited_long_enough_is_no_longer_answered(traced: Estimates) -> None:
    gone = threading.Event()
    gone.set()
    with traced._turn, pytest.raises(BusyError, match="nobody waits"):
        traced.ask(body(SMALL | {"batch_size": 69}), gone, time.monotonic() + PATIENCE_S)
    with traced._turn, pytest.raises(BusyError, match="other forecasts are before"):
        traced.ask(body(SMALL | {"batch_size": 69}), threading.Event(), time.monotonic())


def test_only_some_wait_at_once(traced: Estimates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "MOST_WAITING", 0)
    with pytest.raises(BusyError, match="wait already"):
        ask(traced, SMALL | {"batch_size": 70})


def test_a_trace_takes_only_so_much_memory() -> None:
    script = (
        "from crowdrun.api.forecasts import estimate_worker as worker; worker.MEMORY_BYTES = 40 << 20; worker.main()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(body(LONG).model_dump_json().encode() + b"\n")
        process.stdin.flush()
        told = process.stdout.readline()
        process.kill()
    # Told, or ended where a library does not ask before it takes memory.
    assert told == b"" or b"error" in told


def test_the_service_itself_never_imports_torch() -> None:
    script = "import sys, crowdrun.api.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=PATIENCE_S).returncode == 0
