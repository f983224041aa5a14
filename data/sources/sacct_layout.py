"""Which column of a sacct output is which: any `--format` with its header, and one layout that comes without.

>>> layout = from_first_line("JobID|User|State|MaxRSS")
>>> layout.names, layout.has_header, layout.position("MaxRSS")
(('jobid', 'user', 'state', 'maxrss'), True, 3)
"""

import re
from dataclasses import dataclass

from crowdrun.data.errors import LogFormatError

#: A job, an array task (or the pending rest of an array), a component of a heterogeneous job; then the step.
JOB_ID = r"\d+(?:_(?:\d+|\[[^\]|]*\]))?(?:\+\d+)?"
STEP_ID = re.compile(rf"^{JOB_ID}(?:\.[A-Za-z0-9_+]+)?$")

#: The layout of the sacct files that come with Open XDMoD's tests (`sacct --noheader`), 26 fields.
XDMOD = (
    "JobID|JobIDRaw|Cluster|Partition|QOS|Account|Group|GID|User|UID|Submit|Eligible|Start|End|Elapsed|ExitCode|State|"
    "NNodes|NCPUS|ReqCPUS|ReqMem|ReqTRES|AllocTRES|Timelimit|NodeList|JobName"
)

#: Fields in which users write what they like, newlines and separators included (`sacct -P` escapes neither), and how
#: readily a separator too many is put down to each: the lowest first.
FREE_TEXT: dict[str, int] = {
    "submitline": 0,
    "jobname": 1,
    "comment": 2,
    "extra": 2,
    "admincomment": 3,
    "systemcomment": 3,
    "constraints": 3,
    "workdir": 4,
    "container": 5,
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The fields of a line, in order, in small letters."""

    names: tuple[str, ...]
    has_header: bool

    @property
    def separators(self) -> int:
        return len(self.names) - 1

    def position(self, field: str) -> int | None:
        """Where a field is; None when this output lacks it."""
        name = field.lower()
        return self.names.index(name) if name in self.names else None

    @property
    def job_id(self) -> int:
        """Where the job's id is: JobID, else JobIDRaw."""
        found = self.position("JobID")
        return self.names.index("jobidraw") if found is None else found


def from_first_line(line: str) -> Layout:
    """The layout of an output that begins with this line.

    Raises:
        LogFormatError: neither a header nor a line of the layout without one.
    """
    # `sacct -p` ends each line with a separator, which makes one more field, without a name.
    names = tuple(name.strip().lower() for name in line.split("|"))
    if len(names) > 1 and {"jobid", "jobidraw"} & set(names):
        return Layout(names=names, has_header=True)
    known = tuple(XDMOD.lower().split("|"))
    if len(names) == len(known) and STEP_ID.match(names[0]):
        return Layout(names=known, has_header=False)
    raise LogFormatError(
        f"this is not sacct output: its first line is {line[:100]!r}; expected a header with JobID, as "
        "`sacct -P --format=JobID,...` writes it, or the 26 fields of Open XDMoD. Name its format with --format."
    )
