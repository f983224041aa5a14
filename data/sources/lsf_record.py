"""The layout of a JOB_FINISH record of LSF's `lsb.acct`, as a table, and the walk along it.

Fields are separated by blanks; strings stand in double quotes, a quote inside doubled. Lists are a count and then that
many fields. The layout only ever grew at its end, so an older record is one that stops early.

Source: IBM Spectrum LSF 10.1 Reference, "lsb.acct", JOB_FINISH.

>>> split('"JOB_FINISH" "10.1" 7 "say ""hi"" twice" ""')
['JOB_FINISH', '10.1', '7', 'say "hi" twice', '']
"""

import csv
from collections.abc import Iterator

#: Names of the fields in order; `*name` is a count followed by that many fields, `**name` by twice as many (key and
#: value), `*****name` by five times as many.
LAYOUT: tuple[str, ...] = (
    *("event", "version", "event_time", "job_id", "user_id", "options", "num_processors", "submit_time", "begin_time"),
    *("term_time", "start_time", "user", "queue", "res_req", "depend_cond", "pre_exec_cmd", "from_host", "cwd"),
    *("in_file", "out_file", "err_file", "job_file", "*asked_hosts", "*exec_hosts", "j_status", "host_factor"),
    *("job_name", "command", "ru_utime", "ru_stime", "ru_maxrss", "ru_ixrss", "ru_ismrss", "ru_idrss", "ru_isrss"),
    *("ru_minflt", "ru_majflt", "ru_nswap", "ru_inblock", "ru_oublock", "ru_ioch", "ru_msgsnd", "ru_msgrcv"),
    *("ru_nsignals", "ru_nvcsw", "ru_nivcsw", "ru_exutime", "mail_user", "project", "exit_status", "max_processors"),
    *("login_shell", "time_event", "index", "max_rmem", "max_rswap", "in_file_spool", "command_spool", "rsv_id", "sla"),
    *("except_mask", "additional_info", "exit_info", "warning_action", "warning_period", "charged_saap"),
    *("license_project", "app", "post_exec_cmd", "run_time_estimation", "job_group", "requeue_evalues", "options2"),
    *("resize_notify_cmd", "last_resize_time", "rsv_id_long", "description", "**submit_ext", "*****host_rusage"),
    *("options3", "run_limit", "avg_mem", "effective_res_req"),
)

#: Past this field nothing is missing that a job needs.
ESSENTIAL = "command"
_MAX_LIST = 100_000


def split(line: str) -> list[str]:
    """The fields of a record.

    Raises:
        ValueError: a field is longer than the csv module's limit (128 KiB).
    """
    try:
        return next(csv.reader([line], delimiter=" ", quotechar='"', doublequote=True), [])
    except csv.Error as error:
        raise ValueError(str(error)) from error


def parse(line: str) -> dict[str, list[str]]:
    """Field name -> its values (one, or the members of a list); a record that stops early lacks the later names.

    Raises:
        ValueError: it stops before `ESSENTIAL`, or a count is not one.
    """
    fields = split(line.strip())
    record: dict[str, list[str]] = {}
    position = 0
    for name, width in _layout():
        if position >= len(fields):
            break
        count = 1
        if width:
            # With hosts asked for, some releases leave the execution hosts out: then the status (32, 64) and the
            # host factor follow at once.
            if name == "exec_hosts" and _is_status(fields, position):
                continue
            count = _count(fields[position]) * width
            position += 1
        record[name] = fields[position : position + count]
        position += count
    if not record.get(ESSENTIAL):
        raise ValueError(f"the record ends before its field {ESSENTIAL}")
    return record


def _layout() -> Iterator[tuple[str, int]]:
    for entry in LAYOUT:
        name = entry.lstrip("*")
        yield name, len(entry) - len(name)


def _count(text: str) -> int:
    count = int(text or "0")
    if not -1 <= count <= _MAX_LIST:
        raise ValueError(f"a list of {count} fields")
    return max(count, 0)


def _is_status(fields: list[str], position: int) -> bool:
    """True at `32 1.0 "name" "command"`: a status and a factor with a point where a list of hosts could stand."""
    following = fields[position + 1 : position + 2]
    return fields[position] in ("32", "64") and bool(following) and following[0].replace(".", "", 1).isdigit()
