"""The real Slurm gets from csbatch the very job that plain sbatch makes: a table of calls, compared field by field."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crowdrun.api import sbatch

pytestmark = pytest.mark.slurm

#: What differs between any two jobs: numbers, and when they were submitted. JobName and the paths are compared.
OWN = re.compile(
    r"\b(JobId|ArrayJobId|HetJobId|HetJobIdSet|SubmitTime|EligibleTime|AccrueTime|LastSchedEval|AllocNode:Sid"
    r"|StartTime|EndTime|Deadline|Priority)=\S+"
)
SCRIPTS = {
    "plain.sh": "#!/bin/sh\nhostname\n",
    "job.sh": "#!/bin/sh\n#SBATCH --mem=120M -t 7 -c 2\n#SBATCH -J 'of the script' # a comment\nhostname\n",
    "late.sh": "#!/bin/sh\n#SBATCH -t 3\nhostname\n#SBATCH --mem=4000M -N 3\n",
    "blanks and 'quotes'.sh": '#!/bin/bash\n\n#\n#SBATCH --comment="two words" --nice=7\n\nsrun hostname\n',
    "gpu.sh": "#!/bin/sh\n#SBATCH --gres=gpu:2 --mem=300M\npython train.py\n",
    "launched.sh": "#!/bin/sh\n#SBATCH --gres=gpu:4 --mem=300M\ntorchrun --nproc_per_node=2 train.py\n",
    "het.sh": "#!/bin/sh\n#SBATCH -n1 --mem=50M\n#SBATCH hetjob\n#SBATCH -n2 --mem=60M -t 4\nsrun hostname\n",
    "pbs.sh": "#!/bin/sh\n#PBS -N from-pbs\n#PBS -l walltime=00:04:00\n#SBATCH --mem=90M\nhostname\n",
    "-dash.sh": "#!/bin/sh\nhostname\n",
}


@dataclass(frozen=True)
class Call:
    """One way of calling csbatch, and the arguments with which plain sbatch makes the same job."""

    arguments: tuple[str, ...]
    same_as: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: A script of SCRIPTS: piped is a pipe, given a file.
    piped: str | None = None
    given: str | None = None

    @property
    def name(self) -> str:
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        source = [f"| {self.piped}"] if self.piped else [f"< {self.given}"] if self.given else []
        return " ".join((*variables, *self.arguments, *source))


def untouched(*arguments: str, **others: Any) -> Call:
    return Call(arguments, arguments, **others)


def changed(arguments: str, same_as: str, **others: Any) -> Call:
    return Call(tuple(arguments.split()), tuple(same_as.split()), **others)


#: The service says 200 MB, 5.5 minutes, 1 GPU to each.
CALLS = [
    # memory
    untouched("--mem=100M", "plain.sh"),
    untouched("--mem", "100M", "plain.sh"),
    untouched("--mem=102400K", "plain.sh"),
    untouched("--mem=1G", "plain.sh"),
    untouched("--mem=0", "plain.sh"),
    untouched("--mem-per-cpu=20", "-c2", "plain.sh"),
    untouched("--mem-per-cpu=20M", "-n", "3", "plain.sh"),
    untouched("--mem-per-gpu=10M", "--gpus=2", "plain.sh"),
    untouched("--mem=50", "--mem=60", "plain.sh"),
    # time
    untouched("-t", "5", "plain.sh"),
    untouched("-t5", "plain.sh"),
    untouched("--time=0:05:00", "plain.sh"),
    untouched("--time=0-00:05", "plain.sh"),
    untouched("--parti=short", "--comm", "abbreviated", "plain.sh"),
    untouched("-t10", "--time-min=5", "plain.sh"),
    untouched("--begin=now+1hour", "plain.sh"),
    untouched("--signal=B:USR1@30", "plain.sh"),
    # size
    untouched("-N2", "plain.sh"),
    untouched("-N", "1-2", "plain.sh"),
    untouched("--nodes=2", "--ntasks-per-node=2", "plain.sh"),
    untouched("--tasks-per-node=2", "-N2", "plain.sh"),
    untouched("-n4", "-c2", "plain.sh"),
    untouched("-c", "4", "plain.sh"),
    untouched("-Hn2", "plain.sh"),
    untouched("--mincpus=2", "plain.sh"),
    untouched("--exclusive", "plain.sh"),
    untouched("--exclusive=user", "plain.sh"),
    untouched("-s", "plain.sh"),
    untouched("--use-min-nodes", "-N1", "plain.sh"),
    untouched("--contiguous", "-N2", "plain.sh"),
    # GPUs
    untouched("--gres=gpu:1", "plain.sh"),
    untouched("--gres=gpu:2", "--mem=10M", "plain.sh"),
    untouched("-G", "2", "plain.sh"),
    untouched("--gpus=2", "--cpus-per-gpu=2", "plain.sh"),
    untouched("--gpus-per-node=2", "-N2", "plain.sh"),
    untouched("--gpus-per-task=1", "-n2", "plain.sh"),
    untouched("--gpu-bind=closest", "--gpus=1", "plain.sh"),
    # where
    untouched("-p", "small", "plain.sh"),
    untouched("--partition=short,batch", "plain.sh"),
    untouched("-w", "node2", "plain.sh"),
    untouched("--exclude=node[1-2]", "plain.sh"),
    untouched("-A", "root", "--qos=normal", "plain.sh"),
    untouched("-D", "/tmp", "plain.sh"),
    untouched("-o", "out-%x.txt", "-e", "error.txt", "plain.sh"),
    untouched("--output=/dev/null", "--open-mode=append", "-i", "/dev/zero", "plain.sh"),
    # names and texts
    untouched("-J", "a name with blanks", "plain.sh"),
    untouched("--job-name=-dash", "plain.sh"),
    untouched("-J", "--crowd=apply", "plain.sh"),
    untouched("--comment=it's \"quoted\" $HOME", "plain.sh"),
    untouched("plain.sh", "one", "two words", "--mem=1", "-N9", ":"),
    untouched("blanks and 'quotes'.sh"),
    untouched("--", "-dash.sh"),
    untouched("--mem=64M", "--", "-dash.sh", "--", "x"),
    # others
    untouched("--array=1-3%2", "plain.sh"),
    untouched("-a", "7,9", "--mem=70M", "job.sh"),
    untouched("--nice", "plain.sh"),
    untouched("--nice=5", "plain.sh"),
    untouched("--no-requeue", "-k", "plain.sh"),
    untouched("--dependency=singleton", "plain.sh"),
    untouched("-L", "", "plain.sh"),
    untouched("--export=NONE", "plain.sh"),
    untouched("--export=ALL,A=b c", "plain.sh"),
    untouched("--mail-type=END", "--mail-user=nobody", "plain.sh"),
    untouched("--wait-all-nodes=1", "--hint=nomultithread", "plain.sh"),
    # wrapped
    untouched("--wrap", "hostname; date"),
    untouched("--wrap=srun -n2 hostname", "-n2", "-t4"),
    # in the script and in the environment
    untouched("job.sh"),
    untouched("--mem=80M", "job.sh"),
    untouched("--mem-per-cpu=30M", "late.sh"),
    untouched("-J", "of the call", "job.sh"),
    untouched("late.sh"),
    untouched("gpu.sh"),
    untouched("pbs.sh"),
    untouched("--ignore-pbs", "pbs.sh"),
    untouched("plain.sh", environment={"SBATCH_MEM_PER_NODE": "75M"}),
    untouched("job.sh", environment={"SBATCH_TIMELIMIT": "9", "SBATCH_JOB_NAME": "of the environment"}),
    untouched("--mem=65M", "plain.sh", environment={"SBATCH_MEM_PER_NODE": "75M", "SBATCH_PARTITION": "small"}),
    untouched("plain.sh", environment={"SBATCH_GRES": "gpu:2", "SBATCH_EXCLUSIVE": ""}),
    # through standard input
    untouched(given="job.sh"),
    untouched(piped="job.sh"),
    untouched("-n2", "--mem=66M", piped="blanks and 'quotes'.sh"),
    # heterogeneous
    untouched("-n1", "--mem=50M", ":", "-n2", "--mem=60M", "plain.sh"),
    untouched("-n1", ":", "-n2", ":", "-N2", "--wrap=hostname"),
    untouched("het.sh"),
    # what is set
    changed("--crowd=off --mem=400M plain.sh", "--mem=400M plain.sh"),
    changed("--crowd advise --mem=400M plain.sh", "--mem=400M plain.sh"),
    changed("--crowd=apply --mem=400M plain.sh x", "--mem=200M -t6 --gpus=1 plain.sh x"),
    changed("--crowd=apply --mem=400M -t9 -p small plain.sh", "--mem=200M -t6 -p small --gpus=1 plain.sh"),
    changed("--crowd=apply --mem-per-cpu=300M -c2 -t9 plain.sh", "--mem-per-cpu=100M -c2 -t6 --gpus=1 plain.sh"),
    changed("--crowd=apply --mem-per-gpu=300M -G2 -t9 plain.sh", "--mem-per-gpu=100M -G2 -t6 plain.sh"),
    changed("--crowd=apply gpu.sh", "--mem=200M -t6 --gres=gpu:1 gpu.sh"),
    changed("--crowd=apply launched.sh", "--mem=200M -t6 --gres=gpu:2 launched.sh"),
    changed("--crowd=apply --gpus-per-node=4 plain.sh", "--mem=200M -t6 --gpus-per-node=1 plain.sh"),
    changed("--crowd=apply --mem=400M -N2 plain.sh", "--mem=100M -t6 -N2 plain.sh"),
    changed("--crowd=apply --mem=0 -t9 -G1 plain.sh", "--mem=0 -t6 -G1 plain.sh"),
    changed("--crowd=apply job.sh", "--mem=200M -t6 --gpus=1 job.sh"),
    changed("--crowd=apply --array=1-2 --mem=400M -G1 plain.sh", "--array=1-2 --mem=200M -t6 -G1 plain.sh"),
    changed("--crowd=apply -G1", "--mem=200M -t6 -G1", piped="job.sh"),
    changed("--crowd=apply -G1", "--mem=200M -t6 -G1", given="job.sh"),
    changed("--crowd=apply -G1 -- -dash.sh", "--mem=200M -t6 -G1 -- -dash.sh"),
    changed("--crowd=fill plain.sh", "--mem=200M -t6 --gpus=1 plain.sh"),
    changed("--crowd=fill -n2 -G1 plain.sh", "--mem-per-cpu=100M -t6 -n2 -G1 plain.sh"),
    changed("--crowd=fill job.sh", "--gpus=1 job.sh"),
    changed("--crowd=fill gpu.sh", "-t6 gpu.sh"),
    changed("plain.sh", "--mem=200M -t6 --gpus=1 plain.sh", environment={"CROWDRUN_MODE": "fill"}),
    changed(
        "--crowd=fill plain.sh", "-t6 --gpus=1 plain.sh", environment={"SBATCH_MEM_PER_CPU": "40M"}
    ),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def submit(program: tuple[str, ...], arguments: tuple[str, ...], call: Call) -> tuple[str, str]:
    """Submit on hold; the id and what `scontrol` shows, without what is a job's own. The job is cancelled."""
    environment = dict(os.environ) | dict(call.environment)
    command = [*program, "--parsable", "--hold", *arguments]
    if call.given:
        with Path(call.given).open() as stream:
            done = subprocess.run(command, stdin=stream, capture_output=True, text=True, env=environment)
    else:
        text = SCRIPTS[call.piped] if call.piped else ""
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    job_id = done.stdout.strip()
    assert job_id.isdecimal(), done.stdout
    shown = subprocess.run(["scontrol", "show", "job", "-o", job_id], capture_output=True, text=True).stdout
    subprocess.run(["scancel", job_id], check=True)
    return OWN.sub(r"\1", re.sub(r"/slurm-\d+(_\d+)?\.out", "/slurm-ID.out", shown)), done.stderr


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_the_job_is_the_one_that_plain_sbatch_makes(call: Call, slurm: str, folder: Path, answering: Any) -> None:
    four = "4" in call.name or "launched" in call.name
    asked: dict[str, Any] = {"nodes": 2 if "-N2" in call.arguments else 1, "cpus": 2, "gpus": 4 if four else 2}
    asked["mem_mb"] = None if "--mem=0" in call.arguments else 800.0
    answer = {"line": "a line", "mem_mb": 200.0, "time_s": 330.0, "gpus": 1, "ladder_mb": [400.0], "asked": asked}
    components = 1 + call.arguments.count(":") + ("het.sh" in call.arguments)
    heterogeneous = components > 1 and call.arguments[0] != "plain.sh"
    answering.answers([answer] * components if heterogeneous else answer)
    expected, _ = submit(("sbatch",), call.same_as, call)
    job, said = submit(("sh", sbatch.__file__), call.arguments, call)
    assert job == expected
    assert "no advice" not in said
    assert ("a line" in said) == ("--crowd=off" not in call.arguments)


REFUSED = (
    "-p no-such plain.sh", "--mem=9999G plain.sh", "no-such.sh", "-N x plain.sh", "--tim=5 plain.sh",
    "--mem-per-cpu=30M job.sh", "-Qv plain.sh",
)  # fmt: skip


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_sbatch_refuses_is_refused_in_its_own_words(
    arguments: str, slurm: str, folder: Path, answering: Any
) -> None:
    answering.answers({"line": None})
    plain, ours = (
        subprocess.run([*program, *arguments.split()], stdin=-3, capture_output=True, text=True)
        for program in (("sbatch",), ("sh", sbatch.__file__))
    )
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert ours.returncode != 0
    assert ours.stderr.endswith(plain.stderr)
