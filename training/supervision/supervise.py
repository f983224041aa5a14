"""The process beside a job, one a node: starts the command, measures its whole tree, stops it at its limits.

    python -m crowdrun.training.supervision.supervise --folder RUN/attempt-1 --limit-mb 800 -- python train.py

It is the same on this machine and inside a Slurm job, needs neither torch nor the scheduler, and leaves no process
behind: not when the command ends, not when it is itself told to stop, and not when its own parent is killed.

The memory limit is kept by sampling, as Slurm's OverMemoryKill does it: what grows faster than a sample (0.1 s; more
for a tree so large that one look takes longer than 10 ms) can pass it for that long.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from types import FrameType
from typing import IO

import psutil

from crowdrun.training.hang import hung
from crowdrun.training.heartbeat import read_beats
from crowdrun.training.rank_files import STOP_FILE, STOPPED_FILE
from crowdrun.training.supervision import ending, order
from crowdrun.training.supervision.cgroup import cgroup_memory
from crowdrun.training.supervision.gpus import GpuMonitor
from crowdrun.training.supervision.measure import Sample, largest_child_mb, sample
from crowdrun.training.supervision.order import NodeReport, Order
from crowdrun.training.supervision.output import Tee
from crowdrun.training.supervision.processes import adopt_orphans, kill_descendants

#: From the request to stop until the kill. torchrun passes the request on to its ranks.
GRACE_S = 30.0
#: Looking at the tree may take this share of the time.
DUTY = 0.1
#: A sample is written down when it is a new peak, and otherwise once in so long.
WRITE_EVERY_S = 1.0
#: Between two looks at where the ranks are.
BEAT_S = 1.0
#: Exit status of a task that left with all saved and is to be started again: EX_TEMPFAIL (`sysexits.h`).
AGAIN = os.EX_TEMPFAIL
#: As a shell says it of a command that is not there, or cannot be executed.
NOT_FOUND = 127


def main(arguments: Sequence[str]) -> int:
    """Run the command of an order to its end; returns its exit status as a shell gives it."""
    task = order.parse_order(arguments)
    adopt_orphans()
    report = Supervisor(task, node=int(os.environ.get("SLURM_NODEID", "0"))).run()
    # Else `srun --kill-on-bad-exit` would end the other nodes while they leave as well.
    return 0 if report.cause == ending.SAVED else ending.shell_status(report.exit_code, report.signal)


class Supervisor:
    """One run of one command."""

    def __init__(self, task: Order, *, node: int) -> None:
        self.order = task
        self.node = node
        self.cancelled = False
        #: SIGUSR1: how often it came, and how often it was passed on.
        self.told = self.passed_on = 0
        self.parent = os.getppid()
        self.peak_mem_mb = 0.0
        self.peak_rss_mb = 0.0
        self.samples = 0
        self._written_s = 0.0
        self._beats_s, self._start_s = 0.0, time.time()

    def run(self) -> NodeReport:
        """Start, watch, stop, report."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._cancel)
        if self.order.ranks is None:
            signal.signal(signal.SIGUSR1, self._tell)
        else:
            # Handed on through exec: torchrun would die of it. The ranks listen for it themselves.
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        kills_before = cgroup_memory().oom_kills
        # The folder is that of an earlier run of the job where Slurm starts it again.
        order.report_file(self.order.folder, self.node).unlink(missing_ok=True)
        start = time.time()
        gpus = GpuMonitor(self._pids, samples=order.gpu_samples_file(self.order.folder, self.node))
        code, signal_number, stopped_for = self._supervise(gpus)
        gpus.stop()
        if code == 0 and not stopped_for and (self.order.folder / STOPPED_FILE).exists():
            code, stopped_for = AGAIN, ending.SAVED
        cgroup = cgroup_memory()
        end = ending.how_it_ended(
            code,
            signal_number,
            stopped_for=stopped_for,
            oom_kills=cgroup.oom_kills - kills_before,
            output=order.read_tail(order.output_file(self.order.folder, self.node)),
        )
        report = NodeReport(
            start_time=start,
            end_time=time.time(),
            exit_code=code,
            signal=signal_number,
            state=end.state,
            cause=end.cause,
            peak_mem_mb=max(self.peak_mem_mb, largest_child_mb()) or None,
            peak_rss_mb=max(self.peak_rss_mb, largest_child_mb()) or None,
            cgroup_peak_mb=cgroup.peak_mb,
            gpus=gpus.gpus,
            peak_gpu_mem_mb=gpus.peak_mem_mb,
            gpu_util=gpus.mean_utilisation,
            samples=self.samples,
        )
        order.write_report(self.order.folder, self.node, report)
        return report

    def _cancel(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.cancelled = True

    def _tell(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.told += 1

    def _pass_on(self, child: subprocess.Popen[bytes]) -> None:
        """The signal that the time is nearly over: the command gets it unchanged, a task its file."""
        if self.passed_on == self.told:
            return
        self.passed_on = self.told
        if self.order.ranks is None:
            child.send_signal(signal.SIGUSR1)
        else:
            with suppress(OSError):  # a full disk
                (self.order.folder / STOP_FILE).touch()

    def _pids(self) -> set[int]:
        return {process.pid for process in psutil.Process().children(recursive=True)}

    def _supervise(self, gpus: GpuMonitor) -> tuple[int, int, str | None]:
        """Exit code, signal, and why we stopped it, if we did."""
        log = order.output_file(self.order.folder, self.node)
        with (
            log.open("ab") as kept,
            order.samples_file(self.order.folder, self.node).open("ab", buffering=0) as written,
        ):
            try:
                child = subprocess.Popen(self.order.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            except OSError as error:
                kept.write(f"cannot start {self.order.command[0]}: {error.strerror}\n".encode())
                print(f"crowdrun: cannot start {self.order.command[0]}: {error.strerror}", file=sys.stderr)
                return NOT_FOUND, 0, None
            signal.signal(signal.SIGUSR1, self._tell)
            tee = Tee(child, kept, echo=self.order.echo)
            try:
                stopped_for = self._watch(child, written, gpus)
            finally:
                kill_descendants(without=gpus.helpers)
                tee.finish()
        code = child.wait()
        return (0, -code, stopped_for) if code < 0 else (code, 0, stopped_for)

    def _watch(self, child: subprocess.Popen[bytes], written: IO[bytes], gpus: GpuMonitor) -> str | None:
        """Sample until the command ends or must be stopped; the cause of a stop."""
        own = psutil.Process()
        start = time.monotonic()
        while True:
            look = time.monotonic()
            seen = sample(own, time_s=look - start, without=gpus.helpers)
            self._keep(seen, written)
            self._pass_on(child)
            if self.order.limit_mb is not None and seen.mem_mb > self.order.limit_mb:
                return ending.MEMORY_LIMIT  # at once: it is still growing
            if self.order.time_s is not None and seen.time_s > self.order.time_s:
                self._end_gently(child)
                return ending.TIME_LIMIT
            cause = self._hung()
            if cause:
                return cause
            if self.cancelled or os.getppid() != self.parent:
                self._end_gently(child)
                return ending.CANCELLED
            took = time.monotonic() - look
            try:
                child.wait(max(self.order.interval_s, took / DUTY) - took)
                return None
            except subprocess.TimeoutExpired:
                continue

    def _hung(self) -> str | None:
        """Which rank stands still; the first node looks for all."""
        if self.node or self.order.hang_s is None or time.monotonic() - self._beats_s < BEAT_S:
            return None
        self._beats_s, now = time.monotonic(), time.time()
        # Of this run of the job: Slurm may have started it before.
        beats = [beat for beat in read_beats(self.order.folder) if beat.time_s >= self._start_s]
        return hung(beats, ranks=self.order.ranks or 1, hang_s=self.order.hang_s, now=now)

    def _keep(self, seen: Sample, written: IO[bytes]) -> None:
        self.samples += 1
        is_peak = seen.mem_mb > self.peak_mem_mb
        self.peak_mem_mb = max(self.peak_mem_mb, seen.mem_mb)
        self.peak_rss_mb = max(self.peak_rss_mb, seen.rss_mb)
        if is_peak or seen.time_s - self._written_s >= WRITE_EVERY_S:
            self._written_s = seen.time_s
            written.write(json.dumps(asdict(seen)).encode() + b"\n")

    def _end_gently(self, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return  # it will be killed with the rest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
