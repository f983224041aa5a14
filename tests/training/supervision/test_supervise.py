"""The supervisor, really started, with commands that really hold memory and really try to escape."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest

from crowdrun.training.supervision.order import (
    NodeReport,
    Order,
    output_file,
    read_gpu_samples,
    read_report,
    read_samples,
)
from crowdrun.training.supervision.processes import MARK, see_off, sweep

Gone = Callable[[Iterable[int]], None]


def supervisor(order: Order) -> list[str]:
    return [sys.executable, "-P", "-m", "crowdrun.training.supervision.supervise", *order.to_arguments()]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", textwrap.dedent(code))


def supervise(folder: Path, command: tuple[str, ...], **limits: float) -> tuple[int, NodeReport]:
    order = Order(command=command, folder=folder, **limits)  # type: ignore[arg-type]
    done = subprocess.run(supervisor(order), capture_output=True, timeout=60)
    report = read_report(folder, 0)
    assert report, done.stderr.decode()
    return done.returncode, report


def wait_for_pids(file: Path, count: int) -> list[int]:
    for _ in range(200):
        words = file.read_text().split() if file.exists() else []
        if len(words) == count:
            return [int(word) for word in words]
        time.sleep(0.05)
    raise AssertionError(f"{file} never came")


#: Itself, a child, and a grandchild that became a daemon: forked twice, in a session of its own.
FAMILY = """
    import os, sys, time
    def told():
        with open(sys.argv[1], "a") as file: file.write(f"{os.getpid()} ")
    told()
    if os.fork() == 0:
        told(); time.sleep(60); os._exit(0)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            told(); time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


def test_the_memory_of_the_whole_tree_is_summed(tmp_path: Path) -> None:
    code = """
        import os, time
        children = 3
        for _ in range(children):
            if os.fork() == 0:
                held = bytearray(b'x') * (60 << 20); time.sleep(1.5); os._exit(0)
        for _ in range(children): os.wait()
    """
    _, report = supervise(tmp_path, python(code))
    assert report.state == "COMPLETED"
    assert report.peak_mem_mb
    assert 180 < report.peak_mem_mb < 260


def test_pages_that_forked_processes_share_count_once(tmp_path: Path) -> None:
    code = """
        import os, time
        held = bytearray(b'x') * (80 << 20)
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(1.5); os._exit(0)
        for _ in range(3): os.wait()
    """
    _, report = supervise(tmp_path, python(code))
    assert report.peak_mem_mb
    assert report.peak_rss_mb
    assert report.peak_mem_mb < 160 < 320 < report.peak_rss_mb


def test_a_peak_between_two_samples_is_known_from_the_kernels_mark(tmp_path: Path) -> None:
    _, report = supervise(tmp_path, python("x = bytearray(150 << 20)"), interval_s=5.0)
    assert report.peak_mem_mb
    assert report.peak_mem_mb > 150


def test_a_tree_over_its_memory_limit_is_killed_and_called_out_of_memory(tmp_path: Path) -> None:
    code = """
        import time
        held = []
        while True: held.append(bytearray(5 << 20)); time.sleep(0.02)
    """
    status, report = supervise(tmp_path, python(code), limit_mb=120)
    assert (status, report.state, report.cause) == (137, "OUT_OF_MEMORY", "stopped at the memory limit")
    assert report.peak_mem_mb
    assert report.peak_mem_mb > 120
    assert 120 < read_samples(tmp_path, 0)[-1].mem_mb <= report.peak_mem_mb


def test_a_run_over_its_time_is_asked_to_stop_and_then_called_timeout(tmp_path: Path) -> None:
    code = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(0)))
        time.sleep(60)
    """
    _, report = supervise(tmp_path, python(code), time_s=1)
    assert (report.state, output_file(tmp_path, 0).read_text()) == ("TIMEOUT", "saved\n")


def test_what_the_command_leaves_behind_is_killed_when_it_ends(assert_gone: Gone, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        textwrap.dedent(FAMILY).rsplit("time.sleep(60)", 1)[0] + "while len(open(sys.argv[1]).read().split()) < 3: pass"
    )
    status, _ = supervise(tmp_path, (*python(code), str(pids)))
    assert status == 0
    assert_gone(wait_for_pids(pids, 3))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_supervisor_that_is_told_to_stop_ends_the_whole_tree(assert_gone: Gone, tmp_path: Path, number: int) -> None:
    pids = tmp_path / "pids"
    process = subprocess.Popen(supervisor(Order(command=(*python(FAMILY), str(pids)), folder=tmp_path)))
    family = wait_for_pids(pids, 3)
    process.send_signal(number)
    assert process.wait(30) == 128 + signal.SIGTERM
    report = read_report(tmp_path, 0)
    assert report
    assert report.state == "CANCELLED"
    assert_gone(family)


def test_the_tree_ends_when_the_parent_of_the_supervisor_is_killed(assert_gone: Gone, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = supervisor(Order(command=(*python(FAMILY), str(pids)), folder=tmp_path))
    code = f"import subprocess, time; subprocess.Popen({line!r}); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    family = wait_for_pids(pids, 3)
    parent.kill()
    parent.wait()
    assert_gone(family)


def test_the_mark_finds_what_a_killed_supervisor_left(assert_gone: Gone, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = supervisor(Order(command=(*python(FAMILY), str(pids)), folder=tmp_path))
    process = subprocess.Popen(line, env={**os.environ, MARK: f"test-{tmp_path.name}.1"})
    family = wait_for_pids(pids, 3)
    process.kill()
    process.wait()
    assert sweep("another mark") == 0
    assert all(psutil.pid_exists(pid) for pid in family)
    assert sweep(f"test-{tmp_path.name}.1") == 3
    assert_gone(family)


def test_who_goes_on_waits_for_what_ends_by_itself_and_kills_what_does_not(tmp_path: Path) -> None:
    environment = {**os.environ, MARK: f"see-off-{tmp_path.name}.1"}
    ends, stays = (
        subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({s})"], env=environment)
        for s in (0.5, 60)
    )
    assert see_off(f"see-off-{tmp_path.name}.1", patience_s=3) == 1
    assert (ends.wait(10), stays.wait(10)) == (0, -signal.SIGKILL)


@pytest.mark.parametrize(
    ("written", "state", "cause"),
    [
        (
            "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried",
            "OUT_OF_MEMORY",
            "refused",
        ),
        ("MemoryError", "OUT_OF_MEMORY", "refused"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "FAILED", "GPU memory"),
        ("ValueError: no such layer", "FAILED", "by itself"),
    ],
)
def test_what_a_failed_command_wrote_says_what_it_lacked(tmp_path: Path, written: str, state: str, cause: str) -> None:
    status, report = supervise(tmp_path, python(f"import sys; sys.exit({written!r})"))
    assert (status, report.state, report.exit_code) == (1, state, 1)
    assert report.cause
    assert cause in report.cause


def test_a_real_refusal_of_memory_is_out_of_memory(tmp_path: Path) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); bytearray(4 << 30)"
    _, report = supervise(tmp_path, python(code))
    assert report.state == "OUT_OF_MEMORY"


def test_both_streams_are_passed_on_and_kept(tmp_path: Path) -> None:
    order = Order(command=python("import sys; print('out'); print('err', file=sys.stderr)"), folder=tmp_path)
    done = subprocess.run(supervisor(order), capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    kept = output_file(tmp_path, 0).read_text()
    assert "out" in kept
    assert "err" in kept


def test_a_command_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    status, report = supervise(tmp_path, ("/nonexistent/program",))
    assert (status, report.state) == (127, "FAILED")
    assert "cannot start /nonexistent/program: No such file" in output_file(tmp_path, 0).read_text()


def test_gpu_figures_are_those_of_the_runs_own_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's program is stood in for by one that knows the process of the run from a file."""
    pid, smi = tmp_path / "pid", tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(f"""#!/bin/sh
case "$1" in
*compute-apps*) echo "$(cat {pid} 2>/dev/null), GPU-a, 3100"; echo "1, GPU-b, 9000";;
*) echo "GPU-a, 80"; echo "GPU-b, 10";;
esac
""")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{smi.parent}:{os.environ['PATH']}")
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(2.5)"
    _, report = supervise(tmp_path, python(code))
    # A mean over as many samples as the machine took.
    assert (report.peak_gpu_mem_mb, report.gpu_util, report.gpus) == (3100, pytest.approx(0.8), 1)
    over_time = read_gpu_samples(tmp_path, 0)
    assert {(one.mem_mb, one.utilisation, one.gpus) for one in over_time} == {(3100.0, 0.8, 1)}
    assert [one.time_s for one in over_time] == sorted(one.time_s for one in over_time)


def test_a_sample_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    sample = {"time_s": 1.0, "mem_mb": 5.0, "rss_mb": 6.0, "processes": 1}
    (tmp_path / "samples-0.jsonl").write_text(json.dumps(sample) + "\n" + json.dumps(sample)[:20])
    assert [s.mem_mb for s in read_samples(tmp_path, 0)] == [5.0]
