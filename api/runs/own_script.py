"""`crowdrun run` in a Slurm job's own batch script: started again it goes on, and told in time it asks for that."""

import time
from collections.abc import Sequence
from typing import Any

import click

from crowdrun.api.runs.running import named
from crowdrun.data.settings import Settings
from crowdrun.training.launch.own_job import OwnJob
from crowdrun.training.runs.history import begun_by
from crowdrun.training.runs.records import RunRecord

#: From `scontrol requeue` until Slurm has ended the job's script, at most.
REQUEUED_S = 60


def begun_earlier(own: OwnJob, job: Sequence[str], name: str | None, settings: Settings) -> dict[str, Any] | None:
    """The record of the run of that name that this job began when it was started before; None where there is none.

    A plain command is not looked for: it keeps what it has done by itself.
    """
    if not own.restarts:
        return None
    asked = named(job)
    return begun_by(own, name or asked.name, settings.runs_dir) if asked.task else None


def requeue(own: OwnJob, record: RunRecord) -> None:
    """Put the job back into the queue; returns only where Slurm does not take it, having said so."""
    _say(f"asking Slurm to put job {own.job_id} back into the queue; the run goes on when it is started again")
    refused = own.requeue()
    if refused:
        _say(
            f"Slurm does not take it back: {refused}; submit with --requeue, and go on with this run by: "
            f"crowdrun run --resume {record.run_id}"
        )
        return
    time.sleep(REQUEUED_S)  # Slurm ends the script meanwhile, which else would go on behind us


def _say(text: str) -> None:
    click.echo(f"crowdrun: {text}", err=True)
