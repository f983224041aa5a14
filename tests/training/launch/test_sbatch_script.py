import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from crowdrun.data.errors import LaunchError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.job import Job, Resources, TaskSpec, command_job
from crowdrun.training.launch.base import Attempt
from crowdrun.training.launch.sbatch_script import sbatch_script
from crowdrun.training.planning.plan import Plan

PLAN = Plan(machine="slurm", mem_mb=901.0, ladder=(), timelimit_s=90.0, gpus=4, reasons=())
TASK = TaskSpec(target="net", options=TrainingOptions())


def script_of(job: Job, plan: Plan = PLAN, folder: Path = Path("/runs/R-1/attempt-2")) -> str:
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
        "-m crowdrun.training.supervision.supervise --folder /runs/R-1/attempt-2 -- python train.py --note 'it'\"'\"'s'"
        in script
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


def test_ranks_with_gpus_leave_what_nccl_was_doing_in_the_folder_of_the_attempt_whatever_its_name() -> None:
    job = Job(name="n", command=("x",), work_dir=Path("/w"), ranks=2, task=TASK)
    lines = [
        line for line in script_of(job, folder=Path("/runs/$HOME `x`}/attempt-1")).splitlines() if "_TEMP_FILE" in line
    ]
    told = subprocess.run(
        ["bash", "-c", "\n".join([*lines, 'echo "$TORCH_FR_DUMP_TEMP_FILE"'])], env={}, capture_output=True, text=True
    )
    assert told.stdout == "/runs/$HOME `x`}/attempt-1/nccl-trace-rank-\n"


@pytest.mark.parametrize("name", ['a "quoted" name', "two\nlines", "back\\slash"])
def test_a_name_that_sbatch_cannot_read_is_refused(name: str) -> None:
    with pytest.raises(LaunchError, match="cannot be given to sbatch"):
        script_of(command_job(["true"], work_dir=Path("/w"), name=name))


def test_bash_can_read_the_script() -> None:
    job = Job(name="n", command=("x",), work_dir=Path("/a b"), ranks=4, resources=Resources(nodes=2), task=TASK)
    checked = subprocess.run(["bash", "-n"], input=script_of(job), capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_task_with_checkpoints_is_told_before_its_time_is_over_and_goes_back_into_the_queue(tmp_path: Path) -> None:
    script = script_of(Job(name="net", command=("crowdrun",), work_dir=tmp_path, task=TASK))
    for line in ("--requeue", "--open-mode=append", "--signal=B:USR1@23"):
        assert f"#SBATCH {line}\n" in script
    assert "#SBATCH --no-requeue" not in script
    assert "trap 'touch /runs/R-1/attempt-2/stop' USR1" in script
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_task_without_checkpoints_is_never_begun_again_by_slurm(tmp_path: Path) -> None:
    job = Job(name="net", command=("crowdrun",), work_dir=tmp_path, task=replace(TASK, checkpoint=None))
    assert "#SBATCH --no-requeue" in script_of(job)
    assert "USR1" not in script_of(job)


@pytest.mark.parametrize(("left", "status", "asked"), [(True, 75, True), (False, 3, False)])
def test_the_script_asks_for_the_queue_only_when_all_is_saved(
    tmp_path: Path, left: bool, status: int, asked: bool
) -> None:
    """Slurm's commands are stood in for: srun waits for the stop file, scontrol notes that it was called."""
    folder, commands = tmp_path / "attempt-1", tmp_path / "bin"
    folder.mkdir()
    commands.mkdir()
    ends = f"touch {folder}/stopped.json" if left else "exit 3"
    (commands / "srun").write_text(f"#!/bin/sh\nwhile [ ! -e {folder}/stop ]; do sleep 0.05; done\n{ends}\n")
    (commands / "scontrol").write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\nexit 1\n")
    for file in commands.iterdir():
        file.chmod(0o755)
    job = Job(name="net", command=("crowdrun",), work_dir=tmp_path, task=TASK)
    attempt = Attempt(run_id="R-1", number=1, job=job, plan=PLAN, mem_mb=None, folder=folder)
    environment = {"PATH": f"{commands}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    process = subprocess.Popen(["bash", "-c", sbatch_script(attempt)], env=environment)
    while not _sleeps_below(process.pid):
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == status
    assert (tmp_path / "asked").exists() == asked
    if asked:
        assert (tmp_path / "asked").read_text() == "requeue 7\n"


def _sleeps_below(pid: int) -> bool:
    return any(child.name() in ("sleep", "srun") for child in psutil.Process(pid).children(recursive=True))
