"""A job as JSON, in the folder of its run: what `crowdrun run --resume` goes on with."""

import json
from dataclasses import asdict
from pathlib import Path

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ConfigError, LaunchError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.checkpoints.options import CheckpointOptions
from crowdrun.training.job import Job, Resources, TaskSpec
from crowdrun.training.strategies.settings import strategy_spec

JOB_FILE = "job.json"


def write_job(job: Job, folder: Path) -> None:
    """Keep a job in the folder of its run."""
    table = asdict(job)
    if job.task:
        table["task"]["strategy"] = job.task.strategy.to_table()
    write_atomically(folder / JOB_FILE, json.dumps(table, indent=2, default=str).encode())


def read_job(folder: Path) -> Job:
    """The job of a run.

    Raises:
        LaunchError: there is no such run, or it was a plain command, which keeps no checkpoints that we know of.
    """
    try:
        table = json.loads((folder / JOB_FILE).read_text())
        task = table.pop("task")
        if task is None:
            raise LaunchError(f"{folder.name} was a plain command; start it again by itself, it knows where to go on")
        checkpoint = task.pop("checkpoint")
        spec = TaskSpec(
            **{key: task[key] for key in ("target", "model", "hang_s")},
            options=TrainingOptions(**task["options"]),
            strategy=strategy_spec(task["strategy"]),
            checkpoint=CheckpointOptions(**checkpoint) if checkpoint else None,
        )
        return Job(
            name=table["name"],
            command=tuple(table["command"]),
            work_dir=Path(table["work_dir"]),
            ranks=table["ranks"],
            resources=Resources(**table["resources"]),
            task=spec,
        )
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise LaunchError(f"cannot go on with {folder}: {_said(error, folder)}") from error


def _said(error: Exception, folder: Path) -> str:
    if isinstance(error, FileNotFoundError):
        what = "there is no such run" if not folder.is_dir() else f"it has no {JOB_FILE}"
        return f"{what}; name a run by its id, as `crowdrun run` told it, or by its folder"
    return str(error)
