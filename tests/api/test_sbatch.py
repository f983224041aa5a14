"""`csbatch` is sbatch with a line on standard error, whatever the service does."""

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from crowdrun.api import sbatch

CSBATCH = str(Path(sys.executable).parent / "csbatch")
#: Stands where sbatch is and writes down what it was given; its status and output are odd on purpose.
RECORDER = """#!/bin/sh
printf '%s\\n' "$@" > "$RECORD.arguments"
cat > "$RECORD.stdin"
echo "Submitted batch job 7"
exit 3
"""


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on the PATH with the recording sbatch, and a job.sh here; returns where it writes."""
    (tmp_path / "job.sh").write_text("#!/bin/sh\n#SBATCH --mem=16G\nhostname\n")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(RECORDER)
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("CROWDRUN_URL", "http://127.0.0.1:9")
    return tmp_path / "record"


def submit(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([CSBATCH, *arguments], input=stdin, capture_output=True, text=True)


def answered(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`submit` until the answer came within the limit: a machine under test may be busy."""
    while "no answer within" in (finished := submit(*arguments)).stderr:
        pass
    return finished


def check_untouched(finished: subprocess.CompletedProcess[str], record: Path, *arguments: str, stdin: str = "") -> None:
    assert finished.stdout == "Submitted batch job 7\n"
    assert finished.returncode == 3
    assert Path(f"{record}.arguments").read_text() == "".join(f"{argument}\n" for argument in arguments)
    assert Path(f"{record}.stdin").read_text() == stdin


@contextmanager
def answering(respond: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of a service that treats each connection with `respond`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        respond(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def say(text: bytes) -> Callable[[socket.socket], object]:
    def respond(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text)

    return respond


def http(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n\r\n%s" % (status, body)


HUNG = threading.Event()
STRANGE: dict[str, Callable[[socket.socket], object]] = {
    "closes at once": lambda connection: connection.close(),
    "never answers": lambda connection: connection.recv(1) and HUNG.wait(1),
    "no HTTP": say(b"hello\n"),
    "an error": say(http(b"{}", 500)),
    "not allowed": say(http(b"{}", 401)),
    "no JSON": say(http(b"<html>")),
    "other JSON": say(http(b'["line"]')),
    "a line that is no text": say(http(b'{"line": 7}')),
    "a body of 10 MB": say(http(b'{"line": "' + b"x" * 10_000_000 + b'"}')),
    "not UTF-8": say(http(b'{"line": "\xff"}')),
}


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_the_service_does_the_job_is_submitted_as_written(
    name: str, recorder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(STRANGE[name]) as url:
        monkeypatch.setenv("CROWDRUN_URL", url)
        finished = submit("--mem=64G", "-t", "10", "job.sh", "a b", "--mem=1")
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
        ("-n1", ":", "-n2", "job.sh"),
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
        subprocess.run([CSBATCH, "-H"], stdin=stream, capture_output=True)
    assert Path(f"{recorder}.stdin").read_text() == script


def test_it_prints_one_clean_line_of_the_service(recorder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"line": "asked 64G\n\x1b[31m; 4.6G is enough" + "." * 1000}).encode()
    with answering(say(http(line))) as url:
        monkeypatch.setenv("CROWDRUN_URL", url)
        check_untouched(finished := answered("job.sh"), recorder, "job.sh")
    (shown,) = finished.stderr.splitlines()
    assert shown.startswith("crowdrun: asked 64G  [31m; 4.6G is enough")
    assert len(shown) <= 320


def test_it_is_silent_when_there_is_nothing_to_say(recorder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(say(http(b'{"line": null}'))) as url:
        monkeypatch.setenv("CROWDRUN_URL", url)
        check_untouched(finished := answered("job.sh"), recorder, "job.sh")
    assert finished.stderr == ""


def test_a_closed_standard_error_does_not_stop_it(recorder: Path) -> None:
    command = f"{CSBATCH} job.sh 2>&- </dev/null"
    finished = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True)
    check_untouched(subprocess.CompletedProcess(command, finished.returncode, finished.stdout), recorder, "job.sh")


def test_installed_under_the_name_sbatch_it_finds_the_real_one(recorder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sbatch").write_text(f"#!{sys.executable} -IS\n{Path(sbatch.__file__).read_text()}")
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
    return next((path for path in candidates if path and not subprocess.run([path, "-c", ""], stderr=-3).returncode), None)


def test_it_runs_on_python_3_6(recorder: Path, service: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    python = old_python()
    if not python:
        pytest.skip("there is no Python 3.6 here")
    monkeypatch.setenv("CROWDRUN_URL", str(service.base_url))
    monkeypatch.setenv("CROWDRUN_LIMIT_MS", "10000")
    command = [python, "-IS", sbatch.__file__, "--crowd=apply", "-J", "trainb-1", "-t", "5:00:00", "job.sh"]
    finished = subprocess.run(command, input="", capture_output=True, text=True)
    assert finished.stderr.startswith("crowdrun: asked 16G"), finished.stderr
    assert "set --mem=" in finished.stderr
    assert "--mem=" in Path(f"{recorder}.arguments").read_text()


def test_it_asks_the_real_service_about_options_environment_and_script(
    service: httpx.Client, recorder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n#SBATCH --mem=16G -J trainb-1\nhostname\n")
    monkeypatch.setenv("CROWDRUN_URL", str(service.base_url))
    monkeypatch.setenv("SBATCH_TIMELIMIT", "30")
    assert answered(str(script)).stderr.startswith("crowdrun: asked 16G")
    (asked,) = sbatch.Submission([str(script)], dict(os.environ)).question()
    assert asked["options"] == {"mem": "16G", "job-name": "trainb-1", "time": "30"}
