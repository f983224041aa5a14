"""The command line of a job: as it is, or under torchrun, torch's elastic agent. Pure.

>>> from crowdrun.training.job import command_job, with_flags
>>> job = command_job(["python", "-u", "train.py", "--lr", "1"], work_dir=Path("/w"))
>>> program(job, Path("/run"))
['python', '-u', 'train.py', '--lr', '1']
>>> program(with_flags(job, ranks=2), Path("/run"))[:4]
['python', '-u', '-m', 'torch.distributed.run']
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from crowdrun.data.errors import LaunchError
from crowdrun.training.job import Job
from crowdrun.training.rank_files import SPEC_FILE

#: Collectives that NCCL's flight recorder remembers.
FLIGHT_RECORDS = 2000
WORKER = "crowdrun.training.worker"
_PYTHON = re.compile(r"^python(\d(\.\d+)?t?)?$")
#: Options of the interpreter that take no value, so that what follows is the script (`python --help`).
_FLAGS = re.compile(r"^-[bBdEiIOPqsSuv]+$")


def program(job: Job, folder: Path) -> list[str]:
    """What a supervisor runs on each node of a job; `folder` is the attempt's.

    A task always runs under torchrun. A command does when it asks for more than one rank.

    Raises:
        LaunchError: a command that is no Python program, with more than one rank.
    """
    if job.task:
        # -P: no module in the person's working directory may stand in for one of ours.
        worker = [sys.executable, "-P", "-u", "-m", WORKER, str(folder / SPEC_FILE)]
        return [sys.executable, "-P", *_agent(job, folder), "--no-python", *worker]
    if job.ranks == 1:
        return list(job.command)
    interpreter, script = _split(job.command)
    return [*interpreter, *_agent(job, folder), *script]


def _agent(job: Job, folder: Path) -> list[str]:
    options = [
        f"--nnodes={job.resources.nodes}",
        f"--nproc-per-node={job.ranks_per_node}",
        "--max-restarts=0",
        f"--log-dir={folder / 'ranks'}",
        "--tee=3",
        "--rdzv-backend=c10d",
        f"--rdzv-id={folder.parent.name}",
    ]
    if job.resources.nodes == 1:
        # Port 0: a free one. The host's own name need not resolve. Over several nodes the script of the job says
        # where the first node is, in PET_RDZV_ENDPOINT.
        options += ["--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    return ["-m", "torch.distributed.run", *options]


def _split(command: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The interpreter with its flags, and the script or module with its arguments."""
    words = list(command)
    if _PYTHON.match(Path(words[0]).name):
        first = next((i for i, word in enumerate(words[1:], 1) if not _FLAGS.match(word)), len(words))
        if first < len(words) and (words[first] == "-m" or not words[first].startswith("-")):
            return words[:first], words[first:]
    raise LaunchError(
        f"{command[0]!r} cannot be run as several ranks; with --ranks above 1 the command must be "
        "'python SCRIPT …' or 'python -m MODULE …', which torchrun starts once a rank"
    )


def defaults(job: Job, folder: Path, *, gpus: int | None, cpus: int | None) -> Mapping[str, str]:
    """The environment variables that are set for the job where the person's own environment does not set them.

    folder: the attempt's; cpus: of one node, to be shared by its ranks.
    """
    found = {"PYTHONUNBUFFERED": "1"}  # lines are seen as they come, and not lost with a kill
    if job.task or job.ranks > 1:
        found["OMP_NUM_THREADS"] = str(max(1, (cpus or os.cpu_count() or 1) // job.ranks_per_node))
        if job.resources.nodes == 1:
            found["GLOO_SOCKET_IFNAME"] = "lo"
    if gpus and job.ranks > 1:
        # What NCCL was doing, of each rank, when it gave up a collective: `torchfrtrace` reads it. The names that end
        # in SIZE and FILE are torch's up to 2.8 and since.
        found |= dict.fromkeys(("TORCH_NCCL_TRACE_BUFFER_SIZE", "TORCH_FR_BUFFER_SIZE"), str(FLIGHT_RECORDS))
        trace = str(folder / "nccl-trace-rank-")
        found |= dict.fromkeys(("TORCH_NCCL_DEBUG_INFO_TEMP_FILE", "TORCH_FR_DUMP_TEMP_FILE"), trace)
        found["TORCH_NCCL_DUMP_ON_TIMEOUT"] = "1"
    if job.task and gpus == 0:
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found
