import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from crowdrun.data.errors import LaunchError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.job import Job, Resources, TaskSpec, command_job
from crowdrun.training.launch.base import Attempt
from crowdrun.training.launch.sbatch_script import sbatch_script
from crowdrun.training.planning.plan import Plan

PLAN = Plan(machine="slurm", mem_mb=901.0, ladder=(), timelimit_s=90.0, gpus=4, reasons=())
TASK = TaskSpec(target="net", options=TrainingOptions())


def script_of(job: Job, plan: Plan = PLAN) -> str:
    folder = Path("/runs/R-1/attempt-2")
    return sbatch_script(Attempt(run_id="R-1", number=2, job=job, plan=plan, mem_mb=plan.mem_mb, folder=folder))


def test_a_command_is_one_supervised_step_with_the_plans_resources() -> None:
    job = command_job(["python", "train.py", "--note", "it's"], work_dir=Path("/home/ada"), name="net")
    script = script_of(replace(job, resources=Resources(partition="gpu", account="phys", qos="low", cpus=3)))
    head = script.partition("\n\n")[0].splitlines()
    assert head == [
        "#!/bin/bash",
        '#SBATCH --job-name="net"',
        '#SBATCH --partition="gpu"',
        '#SBATCH --account="phys"',
        '#SBATCH --qos="low"',
        '#SBATCH --nodes="1"',
        '#SBATCH --ntasks-per-node="1"',
        '#SBATCH --cpus-per-task="3"',
        '#SBATCH --mem="901M"',
        '#SBATCH --time="00:01:30"',
        '#SBATCH --gpus-per-node="4"',
        '#SBATCH --chdir="/home/ada"',
        '#SBATCH --output="/runs/R-1/attempt-2/slurm.out"',
        "#SBATCH --no-requeue",
    ]
    assert "export CROWDRUN_ATTEMPT=R-1.2" in script
    assert (
        "-m crowdrun.training.supervise --folder /runs/R-1/attempt-2 -- python train.py --note 'it'\"'\"'s'" in script
    )
    assert "torch.distributed.run" not in script


def test_over_several_nodes_the_ranks_meet_on_the_first_and_each_gets_its_part_of_the_memory() -> None:
    job = Job(name="n", command=("x",), work_dir=Path("/w"), ranks=4, resources=Resources(nodes=2), task=TASK)
    script = script_of(job)
    assert '#SBATCH --mem="451M"' in script
    assert '#SBATCH --gpus-per-node="2"' in script
    assert 'export PET_RDZV_ENDPOINT="$(hostname):$port"' in script
    assert "--nnodes=2 --nproc-per-node=2" in script
    assert "--rdzv-endpoint" not in script


def test_what_is_left_to_slurm_is_not_in_the_script() -> None:
    plan = Plan(machine="slurm", mem_mb=None, ladder=(), timelimit_s=None, gpus=None, reasons=())
    script = script_of(command_job(["true"], work_dir=Path("/w")), plan)
    assert not any(word in script for word in ("--mem", "--time", "--gpus", "--partition", "--limit-mb"))


def test_the_persons_own_environment_goes_before_what_is_set() -> None:
    job = Job(name="n", command=("x",), work_dir=Path("/w"), ranks=2, task=TASK)
    lines = [line for line in script_of(job).splitlines() if line.startswith("export OMP")]
    told = subprocess.run(
        ["bash", "-c", f"{lines[0]}; echo $OMP_NUM_THREADS"],
        env={"OMP_NUM_THREADS": "7"},
        capture_output=True,
        text=True,
    )
    assert told.stdout == "7\n"


@pytest.mark.parametrize("name", ['a "quoted" name', "two\nlines", "back\\slash"])
def test_a_name_that_sbatch_cannot_read_is_refused(name: str) -> None:
    with pytest.raises(LaunchError, match="cannot be given to sbatch"):
        script_of(command_job(["true"], work_dir=Path("/w"), name=name))


def test_bash_can_read_the_script() -> None:
    job = Job(name="n", command=("x",), work_dir=Path("/a b"), ranks=4, resources=Resources(nodes=2), task=TASK)
    checked = subprocess.run(["bash", "-n"], input=script_of(job), capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
