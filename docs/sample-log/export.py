"""Writes what `sacct` says about the jobs of the plan, without the folders of the machine that ran them.

    python3 export.py --home /home --since 2026-11-21T07:15:00 --out training-jobs.sacct.xz
    python3 export.py --home /home --json-of 3,17,40 --out sacct.json

Times are UTC. Requeued runs are included (`--duplicates`). SubmitLine stands last, since what a user typed may hold
the separator; a line of this log never does, and never a line break.
"""

import argparse
import lzma
import os
import subprocess
import sys
from pathlib import Path

COLUMNS = (
    "JobID", "User", "Group", "Account", "Partition", "QOS", "JobName", "State", "ExitCode", "Submit", "Start", "End",
    "Elapsed", "Timelimit", "NNodes", "NCPUS", "NTasks", "ReqMem", "ReqTRES", "AllocTRES", "MaxRSS", "TRESUsageInMax",
    "TRESUsageInTot", "Comment", "WorkDir", "SubmitLine",
)  # fmt: skip


def sacct(*options: str) -> str:
    command = ["sacct", "--allusers", "--duplicates", *options]
    return subprocess.run(
        command, env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


def table(since: str) -> str:
    """The log from `since` to now.

    Raises:
        SystemExit: a line has more or fewer fields than the heading, so that it could be misread.
    """
    text = sacct("--parsable2", f"--starttime={since}", "--endtime=now", f"--format={','.join(COLUMNS)}")
    for number, line in enumerate(text.splitlines(), 1):
        if line.count("|") != len(COLUMNS) - 1:
            sys.exit(f"line {number} has {line.count('|') + 1} fields, not {len(COLUMNS)}: {line}")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, help="folder of the users' homes, written as /home in the log")
    parser.add_argument("--python", default="", help="the users' Python, written as python in the log")
    parser.add_argument("--since", default="now-1day", help="as sacct --starttime takes it, UTC")
    parser.add_argument("--json-of", default="", help="job ids with commas between: these alone, as sacct --json")
    parser.add_argument("--out", type=Path, required=True, help="FILE, compressed when it ends in .xz")
    options = parser.parse_args()
    text = sacct("--json", f"--jobs={options.json_of}") if options.json_of else table(options.since)
    home = options.home.rstrip("/") + "/"
    # Slurm's JSON writes every slash with a backslash before it.
    text = text.replace(home, "/home/").replace(home.replace("/", "\\/"), "\\/home\\/")
    if options.python:
        text = text.replace(options.python, "python")
    raw = text.encode()
    options.out.write_bytes(lzma.compress(raw, preset=9) if options.out.suffix == ".xz" else raw)


if __name__ == "__main__":
    main()
