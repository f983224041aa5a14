"""A stretch of Slurm's accounting, as `sacct` tells it; its submit lines are fetched apart, since it quotes nothing."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO

import pyarrow as pa

from crowdrun.data.errors import LogError
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.sacct import SacctReader

#: Fields without free text but the two that are last, where a separator too many does no harm.
FIELDS = (
    "JobID,User,Group,Account,Partition,QOS,State,ExitCode,ReqMem,ReqCPUS,ReqTRES,AllocTRES,NNodes,NTasks,NodeList,MaxRSS,"
    "TRESUsageInTot,TRESUsageInMax,Elapsed,Timelimit,Submit,Start,End,WorkDir,JobName"
)
#: Of the submit lines; no text that a person types holds it.
_SEPARATOR = "\x1f"
#: A day of a large site is a minute of the database's work.
_TIMEOUT_S = 900.0


def read_stretch(start: float, end: float, report: ReadReport) -> Iterator[pa.Table]:
    """Tables of canonical columns of all jobs that waited, ran or ended between two times (UTC epoch seconds).

    Raises:
        LogError: sacct is not there, or the accounting database gives no answer; nothing was read then.
    """
    with tempfile.TemporaryFile() as jobs, tempfile.TemporaryFile() as lines:
        _sacct(jobs, start, end, "--parsable2", "--format", FIELDS)
        _sacct(lines, start, end, "-X", "--parsable", "--delimiter", _SEPARATOR, "--format", "JobID,Submit,SubmitLine")
        commands = parse_submit_lines(lines.read().decode("utf-8", "replace"))
        # sacct writes times in the zone that TZ names: `_sacct` sets UTC.
        for table in SacctReader().read(jobs, report):
            yield _with_commands(table, commands)


def parse_submit_lines(text: str) -> Mapping[tuple[str, float], str]:
    """(job id, time of submission) -> submit line, from fields that each end with the separator.

    >>> record = ("7", "1970-01-01T00:00:09", "sbatch --wrap 'a\\n|'", "\\n")
    >>> parse_submit_lines("JobID\\x1fSubmit\\x1fSubmitLine\\x1f\\n" + "\\x1f".join(record))
    {('7', 9.0): "sbatch --wrap 'a\\n|'"}
    """
    found = {}
    for record in text.split(f"{_SEPARATOR}\n")[1:]:
        fields = record.split(_SEPARATOR, 2)
        if len(fields) == 3 and fields[2]:
            found[fields[0], _epoch(fields[1])] = fields[2]
    return found


def _with_commands(table: pa.Table, commands: Mapping[tuple[str, float], str]) -> pa.Table:
    keys = zip(table["job_id"].to_pylist(), table["submit_time"].to_pylist(), strict=True)
    column = pa.array([commands.get(key) for key in keys], pa.string())
    place = table.schema.get_field_index("command")
    return table.set_column(place, table.schema.field(place), column)


def _epoch(text: str) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("nan")


def _sacct(output: IO[bytes], start: float, end: float, *options: str) -> None:
    """Write what sacct prints to a file, and rewind it. With -D: each run of a job that was requeued."""
    # In whole seconds, and what ends in the last of them is wanted too.
    stretch = [f"{datetime.fromtimestamp(when, UTC):%Y-%m-%dT%H:%M:%S}" for when in (start, end + 1)]
    command = ["sacct", "--allusers", "-D", "--starttime", stretch[0], "--endtime", stretch[1], *options]
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("SACCT_", "SLURM_TIME_FORMAT"))}
    environment = kept | {"TZ": "UTC", "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            command,
            stdout=output,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise LogError("there is no sacct on the PATH; collect where Slurm's commands are") from error
    except subprocess.TimeoutExpired as error:
        raise LogError(f"sacct gave no answer in {_TIMEOUT_S:.0f} s; nothing was collected of that stretch") from error
    said = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    # With the database down some versions print an error and end with 0.
    if answer.returncode != 0 or any("error" in line for line in said):
        reason = said[0] if said else f"it ended with {answer.returncode}"
        raise LogError(f"sacct failed: {reason}; nothing is lost, collect again when slurmdbd answers")
    output.seek(0)
