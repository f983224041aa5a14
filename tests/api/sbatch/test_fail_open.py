"""Whatever the service and the configuration do, the job is submitted as it was written, with one line."""

import ast
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from crowdrun.api import sbatch

CSBATCH = sbatch.__file__


def submit(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", CSBATCH, *arguments], input=stdin, capture_output=True, text=True)


def check_untouched(finished: subprocess.CompletedProcess[str], record: Path, *arguments: str, stdin: str = "") -> None:
    assert finished.stdout == "Submitted batch job 7\n"
    assert finished.returncode == 3
    assert Path(f"{record}.arguments").read_text() == "".join(f"{argument}\n" for argument in arguments)
    assert Path(f"{record}.stdin").read_text() == stdin


HUNG = threading.Event()


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n\r\n%s" % (status, body)


def dripping(connection: socket.socket) -> None:
    """An answer that never ends, a byte at a time."""
    while not HUNG.wait(0.05):
        connection.sendall(b"H")


#: What comes back: bytes, or what is done with the connection.
STRANGE: dict[str, bytes | Callable[[socket.socket], object]] = {
    "closes at once": lambda connection: connection.close(),
    "hears and closes": lambda connection: connection.recv(65536),
    "never answers": lambda connection: connection.recv(1) and HUNG.wait(60),
    "answers slowly": dripping,
    "no HTTP": b"hello\n",
    "only a head": b"HTTP/1.1 200 OK\r\n\r\n",
    "an error": http(b"{}", 500),
    "not allowed": http(b"{}", 401),
    "no JSON": http(b"<html>"),
    "half of the JSON": http(b'{"line": "asked 64G'),
    "JSON and more": http(b'{"line": null} {}'),
    "other JSON": http(b'["line"]'),
    "deep JSON": http(b"[" * 60_000),
    "no number": http(b'{"line": null, "mem_mb": NaN}'),
    "endless memory": http(b'{"line": null, "mem_mb": 1e999}'),
    "more memory than there is": http(b'{"line": null, "mem_mb": 1e15}'),
    "less than nothing": http(b'{"line": null, "mem_mb": -4096}'),
    "memory as a text": http(b'{"line": null, "mem_mb": "4G"}'),
    "memory that is true": http(b'{"line": null, "mem_mb": true}'),
    "no time at all": http(b'{"line": null, "mem_mb": 4096, "time_s": 0}'),
    "a hundred thousand GPUs": http(b'{"line": null, "mem_mb": 4096, "gpus": 100000}'),
    "a ladder of texts": http(b'{"line": null, "mem_mb": 4096, "ladder_mb": ["8G"]}'),
    "no nodes": http(b'{"line": null, "mem_mb": 4096, "asked": {"nodes": 0}}'),
    "two answers": http(b'[{"line": null}, {"line": null}]'),
    "a line that is no text": http(b'{"line": 7}'),
    "a body of 10 MB": http(b'{"line": "' + b"x" * 10_000_000 + b'"}'),
    "not UTF-8": http(b'{"line": "\xff"}'),
}


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_the_service_does_the_job_is_submitted_as_written(
    name: str, recorder: Path, answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = STRANGE[name]
    answering.sends(strange) if isinstance(strange, bytes) else setattr(answering, "respond", strange)
    # Those that answer get the time that a busy machine takes; the others show that the limit holds.
    monkeypatch.setenv("CROWDRUN_LIMIT_MS", "300" if name in ("never answers", "answers slowly") else "10000")
    begun = time.monotonic()
    finished = submit("--crowd=apply", "--mem=64G", "-t", "10", "job.sh", "a b", "--mem=1")
    assert time.monotonic() - begun < 10
    HUNG.set()
    HUNG.clear()
    check_untouched(finished, recorder, "--mem=64G", "-t", "10", "job.sh", "a b", "--mem=1")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("crowdrun: no advice: ")
    assert line.endswith("; submitted as written")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9", "http://no-such-host.invalid", "nonsense", "http://127.0.0.1:port", "https://127.0.0.1:9"],
)
def test_an_address_where_nothing_answers_costs_one_line(
    url: str, recorder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWDRUN_URL", url)
    check_untouched(finished := submit("job.sh"), recorder, "job.sh")
    assert len(finished.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--no-such-option", "job.sh"),
        ("-n1", ":", "-Z2", "job.sh"),
        ("--mem",),
        ("--wrap=hostname; date",),
        ("--", "-job.sh"),
        ("--job-name", "caf\udce9", "no/such/script"),
    ],
)
def test_what_it_cannot_read_goes_to_sbatch_untouched(arguments: tuple[str, ...], recorder: Path) -> None:
    finished = submit(*arguments)
    assert finished.returncode == 3
    assert finished.stdout == "Submitted batch job 7\n"
    written = Path(f"{recorder}.arguments").read_bytes()
    assert written == (b"".join(os.fsencode(a) + b"\n" for a in arguments) or b"\n")
    assert len(finished.stderr.splitlines()) == 1


def test_the_script_on_standard_input_reaches_sbatch_whole(recorder: Path, tmp_path: Path) -> None:
    script = "#!/bin/sh\n#SBATCH --mem=4G\nhostname\n" * 1000
    check_untouched(submit("-H", stdin=script), recorder, "-H", stdin=script)
    file = tmp_path / "other.sh"
    file.write_text(script)
    with file.open() as stream:
        subprocess.run(["sh", CSBATCH, "-H"], stdin=stream, capture_output=True)
    assert Path(f"{recorder}.stdin").read_text() == script


def test_it_prints_one_clean_line_of_the_service(recorder: Path, answering: Any) -> None:
    answering.answers({"line": "asked 64G\n\x1b[31m; 4.6G is enough" + "." * 1000})
    check_untouched(finished := submit("job.sh"), recorder, "job.sh")
    (shown,) = finished.stderr.splitlines()
    assert shown.startswith("crowdrun: asked 64G  [31m; 4.6G is enough")
    assert len(shown) <= 320


def test_it_is_silent_when_there_is_nothing_to_say(recorder: Path, answering: Any) -> None:
    answering.answers({"line": None})
    check_untouched(finished := submit("job.sh"), recorder, "job.sh")
    assert finished.stderr == ""


def test_a_full_disk_under_standard_error_does_not_stop_it(recorder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(["sh", CSBATCH, "job.sh"], stdin=-3, stdout=-1, stderr=full, text=True)
    check_untouched(subprocess.CompletedProcess([], finished.returncode, finished.stdout), recorder, "job.sh")


@pytest.mark.parametrize("file", ["site.conf", "config/crowdrun/csbatch.conf"])
@pytest.mark.parametrize("trouble", ["mode = loud", "colour = red", "[partition gpu", "limit_ms = soon", None])
def test_a_config_that_cannot_be_used_costs_one_line(
    file: str, trouble: str | None, recorder: Path, answering: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering.answers({"line": "unheard"})
    monkeypatch.delenv("CROWDRUN_LIMIT_MS")
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder cannot be read by anybody; permissions do not stop the root that tests may run as.
    path.mkdir() if trouble is None else path.write_text(f"# comes first\n{trouble}\n")
    check_untouched(finished := submit("--crowd=apply", "job.sh"), recorder, "job.sh")
    (line,) = finished.stderr.splitlines()
    assert str(path) in line
    assert line.endswith("; submitted as written")


def test_a_token_file_that_cannot_be_read_costs_one_line(
    recorder: Path, answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROWDRUN_TOKEN_FILE", "/nonexistent/token")
    check_untouched(finished := submit("job.sh"), recorder, "job.sh")
    assert "cannot read the token file /nonexistent/token" in finished.stderr


def test_a_closed_standard_error_does_not_stop_it(recorder: Path) -> None:
    command = f"sh {CSBATCH} job.sh 2>&- </dev/null"
    finished = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True)
    check_untouched(subprocess.CompletedProcess(command, finished.returncode, finished.stdout), recorder, "job.sh")


def test_installed_under_the_name_sbatch_it_finds_the_real_one(recorder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(sbatch.__file__, own / "sbatch")
    (own / "sbatch").chmod(0o755)
    path = f"{own}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        [str(own / "sbatch"), "job.sh"], env=os.environ | {"PATH": path}, input="", capture_output=True, text=True
    )
    check_untouched(finished, recorder, "job.sh")


def test_without_a_real_sbatch_it_says_so(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-IS", sbatch.__file__, "job.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert finished.returncode == 127
    assert finished.stderr == "crowdrun: there is no sbatch on the PATH; nothing was submitted\n"


def test_the_installed_command_is_the_same_program(recorder: Path) -> None:
    command = [str(Path(sys.executable).parent / "csbatch"), "--crowd=off", "job.sh"]
    check_untouched(subprocess.run(command, input="", capture_output=True, text=True), recorder, "job.sh")


def test_without_a_python_the_job_is_submitted(recorder: Path, tmp_path: Path) -> None:
    # A copy that looks for another Python than there is.
    text = (
        Path(sbatch.__file__).read_text().replace("/usr/bin/python3 /usr/libexec/platform-python python3", "no-python")
    )
    (tmp_path / "csbatch").write_text(text)
    finished = subprocess.run(["sh", str(tmp_path / "csbatch"), "job.sh"], input="", capture_output=True, text=True)
    check_untouched(finished, recorder, "job.sh")
    assert finished.stderr == "crowdrun: there is no python3; submitted as written\n"


def test_help_is_sbatchs_own_with_a_line_of_ours(recorder: Path) -> None:
    finished = submit("--help")
    check_untouched(finished, recorder, "--help")
    assert "csbatch" in finished.stderr


def test_it_needs_the_standard_library_alone() -> None:
    nodes = list(ast.walk(ast.parse(Path(sbatch.__file__).read_text())))
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "_frozen_importlib_external"}


def test_its_syntax_is_that_of_an_old_python() -> None:
    # The oldest grammar that is asked for; 3.7 is the oldest that Python 3.13 checks.
    assert ast.parse(Path(sbatch.__file__).read_text(), feature_version=(3, 6))


def old_python() -> str | None:
    """A Python 3.6: on the PATH, or where pyenv keeps those that are not in use (its shim only names them)."""
    kept = sorted(Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/3.6.*/bin/python3.6"))
    candidates = [shutil.which("python3.6"), *map(str, kept)]
    return next(
        (path for path in candidates if path and not subprocess.run([path, "-c", ""], stderr=-3).returncode), None
    )


def test_it_runs_on_python_3_6(
    settled: None, recorder: Path, service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = old_python()
    if not python:
        pytest.skip("there is no Python 3.6 here")
    monkeypatch.setenv("CROWDRUN_URL", str(service.base_url))
    command = [python, "-IS", sbatch.__file__, "--crowd=apply", "-J", "trainb-1", "-t", "5:00:00", "job.sh"]
    finished = subprocess.run(command, input="", capture_output=True, text=True)
    assert finished.stderr.startswith("crowdrun: asked 16G"), finished.stderr
    assert "set --mem=" in finished.stderr
    assert "--mem=" in Path(f"{recorder}.arguments").read_text()


def test_it_asks_the_real_service_about_options_environment_and_script(
    service: httpx.Client, settled: None, recorder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n#SBATCH --mem=16G -J trainb-1\nhostname\n")
    monkeypatch.setenv("CROWDRUN_URL", str(service.base_url))
    monkeypatch.setenv("SBATCH_TIMELIMIT", "30")
    assert submit(str(script)).stderr.startswith("crowdrun: asked 16G")
    (asked,) = sbatch.Submission([str(script)], dict(os.environ)).question()
    assert asked["options"] == {"mem": "16G", "job-name": "trainb-1", "time": "30"}
