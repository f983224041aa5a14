"""On a Slurm cluster: a batch job, followed through the queue to its end, and read from the accounting database.

Slurm keeps the limits. The folder of the runs must be one that the nodes see as well. Killing this process leaves the
job in the queue; Ctrl-C and SIGTERM cancel it.
"""

import time

from crowdrun.data.durable import write_atomically
from crowdrun.data.states import STATES
from crowdrun.training.launch import slurm_client
from crowdrun.training.launch.base import Attempt, Ended, Launcher, Tick
from crowdrun.training.launch.prepare import make_folder
from crowdrun.training.launch.sbatch_script import OUTPUT_FILE, sbatch_script
from crowdrun.training.launch.signals import raised_as_interrupts
from crowdrun.training.launch.slurm_client import SacctRow
from crowdrun.training.planning.plan import Machine
from crowdrun.training.runs import outcome
from crowdrun.training.supervision import ending
from crowdrun.training.supervision.order import read_tail

SCRIPT_FILE = "job.sh"
_TICK_S = 0.5
#: Between questions to the controller: soon at first, seldom for long jobs.
_SOONEST_S, _SELDOM_S = 1.0, 15.0
#: The database lags behind the queue by a second or two; a cancelled job can take Slurm's KillWait to end.
_PATIENCE_S = 60.0


class SlurmLauncher(Launcher):
    """Runs attempts as batch jobs."""

    name = "slurm"

    def machine(self) -> Machine:
        return Machine(name=self.name, scheduled=True, nodes=slurm_client.nodes_with_cards(), site=self.name)

    def text(self, attempt: Attempt) -> str:
        return sbatch_script(attempt)

    def run(self, attempt: Attempt, tick: Tick) -> Ended:
        script = sbatch_script(attempt)
        make_folder(attempt)
        file = attempt.folder / SCRIPT_FILE
        write_atomically(file, script.encode())
        submitted = time.time()
        job_id = slurm_client.submit(file)
        try:
            with raised_as_interrupts():
                rows = _follow(job_id, tick)
        except KeyboardInterrupt:
            slurm_client.cancel(job_id)
            rows = _follow(job_id, tick)
        return _ended(attempt, job_id, rows, submitted)


def _follow(job_id: str, tick: Tick) -> list[SacctRow]:
    """Until the job has left the queue and the database knows how it ended; none where it never does."""
    begun = time.monotonic()
    left: float | None = None
    while left is None or time.monotonic() - left < _PATIENCE_S:
        if slurm_client.queue_state(job_id) is None:
            left = left or time.monotonic()
            rows = slurm_client.account(job_id)
            if rows and rows[0].state and STATES[rows[0].state].ended:
                return rows
        else:
            left = None
        _sleep(min(_SELDOM_S, max(_SOONEST_S, (time.monotonic() - begun) / 30)), tick)
    return []


def _sleep(seconds: float, tick: Tick) -> None:
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        tick()
        time.sleep(min(_TICK_S, rest))


def _ended(attempt: Attempt, job_id: str, rows: list[SacctRow], submitted: float) -> Ended:
    nodes = attempt.job.resources.nodes
    reports = outcome.read_reports(attempt.folder, nodes)
    seen = [report.cause for report in reports if report.cause]
    output = read_tail(attempt.folder / OUTPUT_FILE)
    if rows:
        job, *steps = rows
        end = ending.slurm_ending(job.state or "FAILED", [step.state or "" for step in steps], output, seen)
        exit_code, start_time, end_time = job.exit_code, job.start_time, job.end_time
    else:  # no accounting database: what the supervisors saw has to do
        codes = [(report.exit_code, report.signal) for report in reports] or [(1, 0)]
        done = len(reports) == nodes and not seen
        end = ending.slurm_ending("COMPLETED" if done else "FAILED", [], output, seen)
        exit_code, start_time, end_time = "{}:{}".format(*max(codes)), None, None
    memory = [row.mem_mb for row in rows if row.mem_mb is not None]
    found = outcome.outcome_of(
        attempt.folder,
        nodes=nodes,
        start_time=start_time or min((report.start_time for report in reports), default=submitted),
        end_time=end_time or max((report.end_time for report in reports), default=time.time()),
        state=end.state,
        exit_code=exit_code,
        alloc_gpus=attempt.plan.gpus or 0,
        peak_mem_mb=max(memory, default=None),
    )
    number, _, signal_number = exit_code.partition(":")
    return Ended(
        job_id=job_id,
        submit_time=rows[0].submit_time if rows else None,
        outcome=found,
        cause=end.cause,
        status=ending.shell_status(int(number), int(signal_number or 0)),
    )
