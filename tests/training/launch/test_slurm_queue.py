"""What waits and runs, as squeue tells it."""

import time
from pathlib import Path

import pytest

from crowdrun.data.errors import LaunchError
from crowdrun.training.launch import slurm_client
from crowdrun.training.launch.slurm_queue import parse_squeue, waiting_and_running

#: As Slurm 22.05 wrote it: one runs, the others wait for room, for another job, for their user and for an hour.
ANSWER = """\
PENDING|root|batch|1795536303|N/A|10:00|cpu=3,mem=300M,node=1,billing=3,gres/gpu=1|
PENDING|root|batch|1795536303|1795539903|10:00|cpu=1,mem=100M,node=1,billing=1|
PENDING|ada|batch,gpu|1795536304|N/A|UNLIMITED|cpu=8,mem=100M,node=4,billing=1,gres/gpu:a100=2|
RUNNING|root|batch|1795536303|1795536306|1-00:00:00|cpu=3,mem=300M,node=1,billing=3,gres/gpu=1|
slurm_load_jobs error: nothing of that kind
"""


def test_a_pending_jobs_start_is_a_guess_and_no_start() -> None:
    assert [job.start_time for job in parse_squeue(ANSWER)] == [None, None, None, 1795536306.0]


def test_requests_limits_and_the_first_partition_are_read() -> None:
    jobs = parse_squeue(ANSWER)
    assert [(job.req_cpus, job.req_nodes, job.req_gpus, job.timelimit_s) for job in jobs] == [
        (3, 1, 1, 600), (1, 1, 0, 600), (8, 4, 2, None), (3, 1, 1, 86400),
    ]  # fmt: skip
    assert (jobs[2].user, jobs[2].partition, jobs[2].submit_time) == ("ada", "batch", 1795536304.0)


def test_without_squeue_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"there is no squeue on the PATH; .* leave --queue out"):
        waiting_and_running()


def test_a_squeue_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(LaunchError, match="Unable to contact slurm controller; see 'scontrol ping'"):
        waiting_and_running()


@pytest.mark.slurm
def test_jobs_in_the_real_queue_are_seen_with_what_they_asked_for(slurm: str, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n#SBATCH --output=/dev/null --time=7 --cpus-per-task=2 --array=1-2\nsleep 60\n")
    before = time.time()
    job_id = slurm_client.submit(script)
    try:
        mine = [job for job in waiting_and_running() if job.submit_time >= before - 2 and job.timelimit_s == 420]
        assert len(mine) == 2
        assert all(job.req_cpus == 2 and job.submit_time <= time.time() + 1 for job in mine)
    finally:
        slurm_client.cancel(job_id)
