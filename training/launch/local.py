"""On this machine: one supervisor, which keeps the memory limit of the plan, and what it starts."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

import psutil

from crowdrun.data.errors import LaunchError
from crowdrun.training.launch.base import Attempt, Ended, Launcher, Tick
from crowdrun.training.launch.cards import cards_here
from crowdrun.training.launch.own_job import allocated_cpus, allocated_mb
from crowdrun.training.launch.prepare import make_folder, order_of, shell_line, supervisor
from crowdrun.training.launch.signals import Counted, raised_as_interrupts
from crowdrun.training.launch.torchrun import defaults
from crowdrun.training.planning.plan import Machine
from crowdrun.training.rank_files import STOP_FILE
from crowdrun.training.runs import outcome
from crowdrun.training.supervision import ending
from crowdrun.training.supervision.cgroup import cgroup_memory
from crowdrun.training.supervision.measure import MB
from crowdrun.training.supervision.order import Order, output_file, read_report, read_tail, samples_file
from crowdrun.training.supervision.processes import MARK, see_off, sweep
from crowdrun.training.supervision.supervise import GRACE_S

_TICK_S = 0.5


class LocalLauncher(Launcher):
    """Runs attempts on this machine."""

    name = "local"

    def __init__(self) -> None:
        self._time_is_nearly_over, self._passed_on = Counted(signal.SIGUSR1), 0

    def listening(self) -> AbstractContextManager[None]:
        return self._time_is_nearly_over.listening()

    def machine(self) -> Machine:
        memory = psutil.virtual_memory().total / MB
        cards = cards_here()
        return Machine(
            name=self.name,
            memory_mb=float(int(min(memory, cgroup_memory().limit_mb, allocated_mb()))),
            gpus=cards.count if cards else 0,
            nodes=(cards,) if cards else (),
            site=socket.gethostname(),
        )

    def text(self, attempt: Attempt) -> str:
        variables = " ".join(f"{name}={value}" for name, value in self._added(attempt).items())
        return f"{variables} \\\n{shell_line(supervisor(self._order(attempt)))}\n"

    def see_off(self, mark: str) -> None:
        see_off(mark, patience_s=GRACE_S)

    def run(self, attempt: Attempt, tick: Tick) -> Ended:
        if attempt.job.resources.nodes > 1:
            raise LaunchError(f"this is one machine, not {attempt.job.resources.nodes}; run with --on slurm")
        order = self._order(attempt)
        if attempt.job.task is None and not shutil.which(order.command[0]):
            raise LaunchError(f"there is no program {order.command[0]!r}; give its path, or install it")
        make_folder(attempt)
        kills_before, start = cgroup_memory().oom_kills, time.time()
        process = subprocess.Popen(
            supervisor(order),
            cwd=attempt.job.work_dir,
            env={**self._added(attempt), **os.environ, MARK: attempt.mark},
            start_new_session=True,  # Ctrl-C comes to us alone, and we pass it on
        )
        try:
            _wait(process, tick, lambda: self._pass_on(process, attempt))
        finally:
            sweep(attempt.mark)
        return _ended(attempt, process.returncode, start, cgroup_memory().oom_kills - kills_before)

    def _pass_on(self, process: subprocess.Popen[bytes], attempt: Attempt) -> None:
        """A signal that its time is nearly over: a command gets it, the ranks of a task save and leave.

        A task without checkpoints has nothing to save, and runs on.
        """
        if attempt.job.task:
            if self._time_is_nearly_over.count and attempt.job.task.checkpoint:
                self.told_to_leave = True
                with suppress(OSError):  # a full disk: it is asked again, and runs on till then
                    (attempt.folder / STOP_FILE).touch()
        elif self._passed_on < self._time_is_nearly_over.count and samples_file(attempt.folder, 0).exists():
            # Its supervisor listens: it has started the command.
            self._passed_on = self._time_is_nearly_over.count
            process.send_signal(signal.SIGUSR1)

    def _order(self, attempt: Attempt) -> Order:
        return order_of(attempt, limit_mb=attempt.mem_mb, time_s=attempt.plan.timelimit_s)

    def _added(self, attempt: Attempt) -> Mapping[str, str]:
        added = defaults(attempt.job, attempt.folder, gpus=attempt.plan.gpus, cpus=allocated_cpus() or os.cpu_count())
        if attempt.plan.placement and attempt.job.task:
            [cards] = attempt.plan.placement.cards
            # The driver's numbers, as the placement has them; CUDA's own order is by speed.
            added = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, cards)), **added}
        return added


def _wait(process: subprocess.Popen[bytes], tick: Tick, pass_on: Callable[[], None]) -> None:
    """Until the supervisor has ended; an interrupt makes it end the job."""
    try:
        with raised_as_interrupts():
            while True:
                try:
                    process.wait(_TICK_S)
                    return
                except subprocess.TimeoutExpired:
                    pass_on()
                    tick()
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.wait(2 * GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ended(attempt: Attempt, code: int, start: float, oom_kills: int) -> Ended:
    report = read_report(attempt.folder, 0)
    if report:
        state, cause, number, signal_number = report.state, report.cause, report.exit_code, report.signal
        start = report.start_time
    else:  # the supervisor itself was killed
        number, signal_number = (0, -code) if code < 0 else (code, 0)
        seen = read_tail(output_file(attempt.folder, 0))
        end = ending.how_it_ended(number, signal_number, stopped_for=None, oom_kills=oom_kills, output=seen)
        state, cause = end.state, ending.LOST if end.cause == ending.FAILED else end.cause
    ended = outcome.outcome_of(
        attempt.folder,
        nodes=1,
        start_time=start,
        end_time=report.end_time if report else time.time(),
        state=state,
        exit_code=f"{number}:{signal_number}",
        alloc_gpus=attempt.plan.gpus,
    )
    return Ended(job_id=attempt.mark, outcome=ended, cause=cause, status=ending.shell_status(number, signal_number))
