"""The Slurm job, or the task of an array, that this process is a part of: its batch script runs `crowdrun run`.

>>> own_job({"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"})
OwnJob(cluster='c', job_id='7', restarts=0)
>>> own_job({"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_RESTART_COUNT": "1"})
OwnJob(cluster='', job_id='7_2', restarts=1)
>>> own_job({}) is None
True
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from crowdrun.training.launch.slurm_client import TIMEOUT_S, call


@dataclass(frozen=True, kw_only=True)
class OwnJob:
    """One start of a job."""

    cluster: str
    #: As scontrol takes it. The last task of an array has the array's own number in SLURM_JOB_ID, and
    #: `scontrol requeue` of that is of all tasks: so a task is named by both its numbers.
    job_id: str
    #: How often Slurm had started it before.
    restarts: int

    def is_later_start_of(self, other: Mapping[str, object]) -> bool:
        """Whether `other`, as `asdict` made it, is an earlier start of this job."""
        own = (self.cluster, self.job_id) == (other["cluster"], other["job_id"])
        return own and self.restarts > int(str(other["restarts"]))

    def requeue(self) -> str | None:
        """Back into the queue; Slurm then ends this start of it. Why Slurm does not do it, else None."""
        try:
            answer = call(["scontrol", "requeue", self.job_id])
        except FileNotFoundError:
            return "there is no scontrol on the PATH"
        except subprocess.TimeoutExpired:
            return f"scontrol gave no answer in {TIMEOUT_S:.0f} s"
        return None if answer.returncode == 0 else answer.stderr.strip() or "it does not say why"


def own_job(environment: Mapping[str, str] = os.environ) -> OwnJob | None:
    """The job that this process is in; None outside Slurm."""
    job_id = environment.get("SLURM_JOB_ID")
    if not job_id:
        return None
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return OwnJob(
        cluster=environment.get("SLURM_CLUSTER_NAME", ""),
        job_id=f"{array}_{task}" if array and task else job_id,
        restarts=int(environment.get("SLURM_RESTART_COUNT", "0")),
    )


def allocated_cpus(environment: Mapping[str, str] = os.environ) -> int | None:
    """CPUs of this node that are the job's; None outside Slurm."""
    count = environment.get("SLURM_CPUS_ON_NODE", "")
    return int(count) if count.isdigit() else None


def allocated_mb(environment: Mapping[str, str] = os.environ) -> float:
    """Memory of this node that is the job's, MB; infinite where Slurm does not say (`man 1 sbatch`).

    >>> allocated_mb({"SLURM_MEM_PER_NODE": "4000"})
    4000.0
    >>> allocated_mb({"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_ON_NODE": "4"})
    2000.0
    >>> allocated_mb({"SLURM_MEM_PER_NODE": "0"}), allocated_mb({})
    (inf, inf)
    """
    node, each = environment.get("SLURM_MEM_PER_NODE", ""), environment.get("SLURM_MEM_PER_CPU", "")
    if node.isdigit():
        return float(node) or float("inf")  # --mem=0: all of the node's
    return float(each) * (allocated_cpus(environment) or 1) if each.isdigit() else float("inf")
