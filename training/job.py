"""What is to be run: any command, unchanged, or a training task with its options, read from a `job.toml`.

name = "digits"
task = "lenet"                             # built in, a module, or the path of a Python file beside this one
ranks = 2
epochs = 12
batch_size = 64                            # and the other fields of TrainingOptions
strategy = "fsdp"                          # or a table [strategy]: its name, and what it can be told (docs/training.md)
[checkpoint]                               # when the state is saved (docs/training.md); checkpoint = false: never
every_s = 300
[resources]                                # what would be asked for without crowdrun
mem_mb = 16000
timelimit_s = 3600
[options]                                  # handed to the task as they are
"""

import getpass
import grp
import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from crowdrun.data.errors import ConfigError
from crowdrun.data.job import JobRequest
from crowdrun.data.task import TrainingOptions
from crowdrun.training.checkpoints.options import CheckpointOptions, checkpoint_options
from crowdrun.training.models.table import BUILT_IN, BuiltIn, task_named
from crowdrun.training.planning.placement import PLACEMENTS
from crowdrun.training.strategies.settings import AUTO, StrategySpec, strategy_spec


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the person asks for; None is left to the machine or the scheduler."""

    #: Host memory, MB, total of the job over its nodes.
    mem_mb: float | None = None
    gpus: int | None = None
    timelimit_s: float | None = None
    #: CPUs, total; None is one a rank.
    cpus: int | None = None
    nodes: int = 1
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    #: Memory of one card, MB, where the machine does not say it.
    card_mb: float | None = None
    #: auto, pack (close together) or spread.
    placement: str = "auto"

    def __post_init__(self) -> None:
        if self.placement not in PLACEMENTS:
            raise ConfigError(f"placement is {self.placement!r}; it must be one of {', '.join(PLACEMENTS)}")
        least_of = {"mem_mb": 1, "gpus": 0, "timelimit_s": 1, "cpus": 1, "nodes": 1, "card_mb": 1}
        for name, least in least_of.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and least <= value < float("inf")):
                raise ConfigError(f"{name} is {value!r}; it must be a number of {least} or more")
        for name in ("gpus", "cpus", "nodes"):
            if isinstance(getattr(self, name), float):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be a whole number")


#: As long as gloo waits for other ranks.
HANG_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A training task and how it is trained."""

    #: A module's name, or the absolute path of a Python file.
    target: str
    options: TrainingOptions
    #: The network's name in the log; None is the task's own name.
    model: str | None = None
    strategy: StrategySpec = field(default_factory=StrategySpec)
    #: It is ended when no rank has made a step for so long, s.
    hang_s: float = HANG_S
    #: None keeps no checkpoints.
    checkpoint: CheckpointOptions | None = field(default_factory=CheckpointOptions)

    @property
    def name(self) -> str:
        """The last part of the module's name, or the file's name without its ending."""
        return Path(self.target).stem if self.target.endswith(".py") else self.target.rpartition(".")[2]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job."""

    name: str
    #: What was typed; for a task, the job file.
    command: tuple[str, ...]
    work_dir: Path
    #: Processes, over all nodes.
    ranks: int = 1
    resources: Resources = field(default_factory=Resources)
    task: TaskSpec | None = None

    def __post_init__(self) -> None:
        if isinstance(self.ranks, bool) or not isinstance(self.ranks, int) or self.ranks < 1:
            raise ConfigError(f"ranks is {self.ranks!r}; it must be a whole number of 1 or more")
        if self.ranks % self.resources.nodes:
            raise ConfigError(
                f"{self.ranks} ranks cannot be spread evenly over {self.resources.nodes} nodes; "
                f"take a multiple of {self.resources.nodes}"
            )

    @property
    def ranks_per_node(self) -> int:
        return self.ranks // self.resources.nodes


def command_job(command: Iterable[str], *, work_dir: Path, name: str | None = None) -> Job:
    """The job of a plain command.

    >>> command_job(["python", "-u", "code/train.py", "--lr", "1"], work_dir=Path("/w")).name
    'train.py'
    """
    words = tuple(command)
    return Job(name=name or _program(words), command=words, work_dir=work_dir)


def _program(words: tuple[str, ...]) -> str:
    scripts = [Path(word).name for word in words if Path(word).suffix in {".py", ".sh"}]
    return (scripts or [Path(words[0]).name])[0]


def load_job(file: Path, *, work_dir: Path) -> Job:
    """The task job that a `job.toml` describes.

    Raises:
        ConfigError: the file cannot be read, or holds a key or a value that is not allowed; says which.
    """
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the job file {file}: {error}") from error
    try:
        return _job(table, file, work_dir)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


_OPTION_KEYS = frozenset(f.name for f in fields(TrainingOptions)) - {"extra"}
_OWN_KEYS = {"name", "task", "model", "ranks", "resources", "options", "strategy", "hang_s", "checkpoint"}
_JOB_KEYS = _OPTION_KEYS | _OWN_KEYS


def _job(table: Mapping[str, Any], file: Path, work_dir: Path) -> Job:
    _only(table, _JOB_KEYS, "a job file")
    resources, model = _table(table, "resources"), _text(table, "model")
    _only(resources, {f.name for f in fields(Resources)}, "[resources]")
    task, extra = _text(table, "task"), _table(table, "options")
    if misplaced := sorted(_OPTION_KEYS & extra.keys()):
        # The task would not look there for it, and the training go another way than its file says.
        raise ConfigError(
            f"{', '.join(misplaced)} stands in [options], which is for the task's own; write it at the top of the file"
        )
    built_in = task_named(task, extra) if task and task in BUILT_IN else None
    own = {name: table[name] for name in _OPTION_KEYS & table.keys()}
    if task and built_in:
        spec = _built_in(task, built_in, own, model)
    else:
        spec = TaskSpec(target=_target(task, file), options=TrainingOptions(**own, extra=extra), model=model)
    return Job(
        name=_text(table, "name") or file.stem,
        command=("crowdrun", "run", str(file)),
        work_dir=work_dir,
        ranks=table.get("ranks", 1),
        resources=Resources(**resources),
        task=replace(
            spec,
            strategy=strategy_spec(table.get("strategy", AUTO)),
            hang_s=_seconds(table, "hang_s", HANG_S),
            checkpoint=checkpoint_options(table.get("checkpoint", True)),
        ),
    )


def _built_in(name: str, task: BuiltIn, own: Mapping[str, Any], model: str | None) -> TaskSpec:
    options = TrainingOptions(**{**task.training, **own}, extra=task.options)
    return TaskSpec(target=task.module, options=options, model=model or name)


def named_job(name: str, *, work_dir: Path) -> Job:
    """The job of a built-in task as it is, a row of `models/table.py`.

    >>> named_job("resnet-50", work_dir=Path("/w")).task.options.extra
    {'depth': 50}
    """
    spec = replace(_built_in(name, task_named(name, {}), {}, None), strategy=strategy_spec(AUTO))
    return Job(name=name, command=("crowdrun", "run", name), work_dir=work_dir, task=spec)


def _only(table: Mapping[str, Any], allowed: Iterable[str], where: str) -> None:
    unknown = sorted(table.keys() - set(allowed))
    if unknown:
        raise ConfigError(f"{', '.join(unknown)} is no key of {where}; allowed are {', '.join(sorted(allowed))}")


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{name} is {value!r}; it must be a table, [{name}]")
    return value


def _text(table: Mapping[str, Any], name: str) -> str | None:
    value = table.get(name)
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(f"{name} is {value!r}; it must be a text")
    return value


def _seconds(table: Mapping[str, Any], name: str, default: float) -> float:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"{name} is {value!r}; it must be a number of seconds above 0")
    return float(value)


def _target(task: str | None, file: Path) -> str:
    if task is None:
        raise ConfigError('there is no task; name a module or a Python file: task = "train_task.py"')
    if not task.endswith(".py"):
        return task
    path = (file.parent / task).absolute()
    if not path.is_file():
        raise ConfigError(f"task is {task!r}, but there is no file {path}")
    return str(path)


def with_flags(
    job: Job,
    *,
    name: str | None = None,
    ranks: int | None = None,
    mem_mb: float | None = None,
    timelimit_s: float | None = None,
    gpus: int | None = None,
    card_mb: float | None = None,
    placement: str | None = None,
    strategy: str | None = None,
) -> Job:
    """The job with what the command line says in place of what the file says."""
    told = {"mem_mb": mem_mb, "timelimit_s": timelimit_s, "gpus": gpus, "card_mb": card_mb, "placement": placement}
    given: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
    resources = replace(job.resources, **given)
    if strategy is not None:
        job = _with_strategy(job, strategy)
    return replace(job, name=name or job.name, ranks=job.ranks if ranks is None else ranks, resources=resources)


def _with_strategy(job: Job, name: str) -> Job:
    """What the file tells the strategy stays, where it is the same one."""
    if job.task is None:
        raise ConfigError(f"strategy is {name!r}, but a command trains in its own way; a strategy is for a task")
    if job.task.strategy.name == name:
        return job
    return replace(job, task=replace(job.task, strategy=strategy_spec(name)))


def to_request(job: Job, *, submit_time: float) -> JobRequest:
    """What is known of the job before it runs, as the crowd and the store want it.

    The GPUs, memory and time are those that the person asked for.
    """
    task, resources = job.task, job.resources
    return JobRequest(
        user=_user(),
        group=_group(),
        account=resources.account,
        partition=resources.partition,
        qos=resources.qos,
        job_name=job.name,
        command=shlex.join(job.command),
        work_dir=str(job.work_dir),
        submit_time=submit_time,
        req_nodes=resources.nodes,
        req_cpus=resources.cpus or job.ranks,
        req_mem_mb=resources.mem_mb,
        req_gpus=resources.gpus,
        timelimit_s=resources.timelimit_s,
        model=(task.model or task.name) if task else None,
        batch_size=task.options.batch_size if task else None,
        precision=task.options.precision if task else None,
        optimizer=task.options.optimizer if task else None,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in many containers
        return str(os.getuid())


def _group() -> str | None:
    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return None
