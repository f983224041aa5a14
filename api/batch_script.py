"""What a batch script asks for: sbatch's options turned into a `JobRequest`. Pure: text in, record out.

>>> request = read_script('''#!/bin/bash
... #SBATCH -J train -N 2 --mem=64G -t 1-00:00:00
... #SBATCH --gres=gpu:a100:2 -n 4 -c 8
... srun python train.py
... ''', name="job.sh")
>>> request.job_name, request.req_nodes, request.req_mem_mb, request.req_cpus, request.req_gpus, request.gpu_type
('train', 2, 131072.0, 32, 4, 'a100')
>>> request.timelimit_s
86400.0
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from crowdrun.api import sbatch
from crowdrun.data.errors import RequestError
from crowdrun.data.job import JobRequest
from crowdrun.data.units import duration_s, memory_mb

T = TypeVar("T")

#: Options that are taken as they are -> field of the request.
TEXT_FIELDS: Mapping[str, str] = {
    "account": "account",
    "chdir": "work_dir",
    "job-name": "job_name",
    "partition": "partition",
    "qos": "qos",
}
#: GRES names, and prefixes of them, that are GPUs: `gpu:a100:2`, `gres:gpu:2`, `gres/gpu:2`.
_GPU_GRES = re.compile(r"^(?:gres[:/])?gpu(?:[:=](.*))?$")


def read_script(
    script: str, *, name: str | None = None, given: Sequence[tuple[str, str]] = (), **known: Any
) -> JobRequest:
    """The request of a batch script; `given` are options of the command line, which go before those of the script.

    `known` are fields of the request that no option tells: user, command, work_dir, ...

    Raises:
        RequestError: an option that sbatch does not know, or a value that it would refuse.
    """
    parts = sbatch.directives(script)
    if len(parts) > 1:
        raise RequestError(f"{name or 'the script'} is a heterogeneous job; ask for each of its components by itself")
    try:
        directives = sbatch.split(parts[0])[0]
    except sbatch.NoAdviceError as error:
        raise RequestError(f"cannot read the #SBATCH lines of {name or 'the script'}: {error}") from error
    return request_from_options(sbatch.effective([directives, list(given)]), script=name, **known)


def request_from_options(options: Mapping[str, str], *, script: str | None = None, **known: Any) -> JobRequest:
    """The request that sbatch's options (long name -> value) make; figures are totals over the job's nodes.

    Raises:
        RequestError: a value that sbatch would refuse; names the option.
    """
    fields: dict[str, Any] = {field: options[option] for option, field in TEXT_FIELDS.items() if options.get(option)}
    fields.setdefault("job_name", "wrap" if "wrap" in options else script or "sbatch")
    nodes = _value(options, "nodes", _lowest) or 1
    tasks = _value(options, "ntasks", int) or nodes * (_value(options, "ntasks-per-node", int) or 1)
    gpus, gpu_type = _gpus(options, nodes, tasks)
    cpus = tasks * (_value(options, "cpus-per-task", int) or 1)
    if "cpus-per-gpu" in options and "cpus-per-task" not in options:
        cpus = max(cpus, gpus * (_value(options, "cpus-per-gpu", int) or 1))
    fields |= {"req_nodes": nodes, "req_cpus": cpus, "req_gpus": gpus, "gpu_type": gpu_type}
    fields["req_mem_mb"] = _memory(options, {"mem": nodes, "mem-per-cpu": cpus, "mem-per-gpu": gpus})
    fields["timelimit_s"] = _value(options, "time", duration_s) or None
    return JobRequest(**{**{name: value for name, value in known.items() if value is not None}, **fields})


def _value(options: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T | None:
    if name not in options:
        return None
    try:
        return parse(options[name])
    except ValueError as error:
        raise RequestError(f"--{name} is {options[name]!r}, which sbatch does not accept: {error}") from error


def _lowest(text: str) -> int:
    """The least number of nodes of `2`, `2-4` or `1k`."""
    first = text.split("-")[0].split(",")[0]
    return int(first[:-1]) * 1024 if first[-1:] in ("k", "K") else int(first)


def _memory(options: Mapping[str, str], multipliers: Mapping[str, int]) -> float | None:
    """Total MB; None when nothing is asked for, or 0, which means a whole node (`man sbatch`, --mem)."""
    for name, multiplier in multipliers.items():
        size = _value(options, name, memory_mb)
        if size is not None:
            return size * multiplier or None
    return None


def _gpus(options: Mapping[str, str], nodes: int, tasks: int) -> tuple[int, str | None]:
    """GPUs in total and the type of the first that has one."""
    for name, multiplier in (("gpus", 1), ("gpus-per-node", nodes), ("gpus-per-task", tasks), ("gres", nodes)):
        entries = options.get(name, "").split(",")
        if name == "gres":
            entries = [match[1] or "1" for entry in entries if (match := _GPU_GRES.match(entry))]
        counts = [_count(name, entry) for entry in entries if entry]
        if counts:
            return multiplier * sum(count for count, _ in counts), next((kind for _, kind in counts if kind), None)
    return 0, None


def _count(option: str, entry: str) -> tuple[int, str | None]:
    """`a100:2(S:0-1)` -> (2, 'a100'); `2` -> (2, None); `a100` -> (1, 'a100')."""
    words = re.sub(r"\(.*", "", entry).replace("=", ":").split(":")
    if words[-1].isdecimal():
        return int(words[-1]), words[0] if len(words) > 1 else None
    if len(words) > 1:
        raise RequestError(f"--{option} holds {entry!r}; write [TYPE:]NUMBER, for example a100:2")
    return 1, words[0]
