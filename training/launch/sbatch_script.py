"""The text of the batch script of an attempt. Pure.

Under it, on each node, `srun` starts one supervisor, and that the job: torchrun for a task, the command itself else.
The batch script runs on the first node, which is where the ranks meet. A task with checkpoints is told some time before
its time is over: it saves, goes back into the queue, and goes on from there.
"""

import math
import re
import shlex
import sys

from crowdrun.data.errors import LaunchError
from crowdrun.training.launch.base import Attempt
from crowdrun.training.launch.prepare import order_of, supervisor
from crowdrun.training.launch.torchrun import defaults
from crowdrun.training.rank_files import STOP_FILE, STOPPED_FILE
from crowdrun.training.supervision.processes import MARK
from crowdrun.training.supervision.supervise import AGAIN

OUTPUT_FILE = "slurm.out"
#: Before the end of its time a task is told to save, s.
MOST_LEAD_S = 120

_FREE_PORT = 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'


def sbatch_script(attempt: Attempt) -> str:
    """The batch script.

    Raises:
        LaunchError: a value that cannot stand in a #SBATCH line.
    """
    lines = ["#!/bin/bash"]
    lines += [f'#SBATCH --{name}="{_directive(value)}"' for name, value in _directives(attempt).items() if value]
    lines += [*_requeue(attempt), ""]
    lines += _environment(attempt)
    if attempt.job.resources.nodes > 1:
        lines += [
            f"port=$({shlex.join([sys.executable, '-c', _FREE_PORT])})",
            'export PET_RDZV_ENDPOINT="$(hostname):$port"',
        ]
    # Slurm keeps both limits itself, so the supervisor has none.
    supervised = shlex.join(supervisor(order_of(attempt, limit_mb=None, time_s=None)))
    # srun does not take over --cpus-per-task from sbatch (NEWS of Slurm 22.05).
    step = f"srun --ntasks-per-node=1 --cpus-per-task={_cpus_per_node(attempt)} --kill-on-bad-exit=1"
    whole = f"{step} \\\n    {supervised}"
    return "\n".join([*lines, *(_listening(attempt, whole) if _goes_on(attempt) else [f"exec {whole}"]), ""])


def _goes_on(attempt: Attempt) -> bool:
    """The job is a task with checkpoints: begun again, it goes on."""
    return attempt.job.task is not None and attempt.job.task.checkpoint is not None


def _requeue(attempt: Attempt) -> list[str]:
    if not _goes_on(attempt):
        return ["#SBATCH --no-requeue"]
    lines = ["#SBATCH --requeue", "#SBATCH --open-mode=append"]
    if attempt.plan.timelimit_s is not None:
        # To this script alone: torchrun would die of it. Slurm may send it up to a minute sooner (`man 1 sbatch`).
        lines.append(f"#SBATCH --signal=B:USR1@{min(MOST_LEAD_S, math.ceil(attempt.plan.timelimit_s / 4))}")
    return lines


def _listening(attempt: Attempt, step: str) -> list[str]:
    """The step, while the script waits for a signal; what left with all saved goes back into the queue."""
    stop, stopped = (shlex.quote(str(attempt.folder / name)) for name in (STOP_FILE, STOPPED_FILE))
    return [
        f"rm -f {stop} {stopped}",
        f"trap 'touch {stop}' USR1",
        f"{step} &",
        "step=$!",
        'wait "$step"; status=$?',
        # A signal ends `wait`, not the step.
        'while kill -0 "$step" 2>/dev/null; do wait "$step"; status=$?; done',
        f'if [ "$status" = 0 ] && [ -e {stopped} ]; then',
        # Slurm ends this script then.
        '    scontrol requeue "$SLURM_JOB_ID" && sleep 60',
        f"    exit {AGAIN}",
        "fi",
        'exit "$status"',
    ]


def _directives(attempt: Attempt) -> dict[str, str | None]:
    job, plan = attempt.job, attempt.plan
    nodes = job.resources.nodes
    return {
        "job-name": job.name,
        "partition": job.resources.partition,
        "account": job.resources.account,
        "qos": job.resources.qos,
        "nodes": str(nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(_cpus_per_node(attempt)),
        "mem": None if attempt.mem_mb is None else f"{math.ceil(attempt.mem_mb / nodes)}M",  # of each node
        "time": None if plan.timelimit_s is None else slurm_time(plan.timelimit_s),
        "gpus-per-node": str(math.ceil(plan.gpus / nodes)) if plan.gpus else None,
        "chdir": str(job.work_dir),
        "output": str(attempt.folder / OUTPUT_FILE).replace("%", "%%"),
    }


def _cpus_per_node(attempt: Attempt) -> int:
    resources = attempt.job.resources
    return math.ceil((resources.cpus or attempt.job.ranks) / resources.nodes)


def _environment(attempt: Attempt) -> list[str]:
    added = defaults(attempt.job, attempt.folder, gpus=attempt.plan.gpus, cpus=_cpus_per_node(attempt))
    unless_set = [f'export {name}="${{{name}:-{_in_quotes(value)}}}"' for name, value in added.items()]
    return [f"export {MARK}={attempt.mark}", *unless_set]


def _in_quotes(value: str) -> str:
    """What a shell takes as it is within double quotes."""
    return re.sub(r'([\\$`"}])', r"\\\1", value)


def _directive(value: str) -> str:
    if re.search(r'["\\\n]', value):
        raise LaunchError(f'{value!r} cannot be given to sbatch; leave out ", \\ and line ends')
    return value


def slurm_time(seconds: float) -> str:
    """
    >>> slurm_time(59), slurm_time(93784.5)
    ('00:00:59', '1-02:03:05')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hours:02}:{minutes:02}:{rest:02}"
