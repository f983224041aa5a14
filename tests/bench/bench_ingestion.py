"""How fast a sacct log is parsed and typed, and in how much memory, beside pandas on the same file.

Each runs in a fresh process. pandas reads a part, since it takes minutes for the whole; its rate is what is compared.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

BUILD = Path(__file__).parents[2] / "build" / "bench"
ROWS, PANDAS_ROWS = 2_000_000, 200_000
GOAL_ROWS_PER_S, GOAL_MB, GOAL_TIMES_PANDAS = 120_000, 500, 10


def read_with_crowdrun(path: Path) -> int:
    """Lines read and typed by our reader, to canonical tables of jobs with their steps joined."""
    from crowdrun.data.reading import read_log
    from crowdrun.data.sources.base import ReadReport

    report = ReadReport()
    for _ in read_log(path, "sacct", report):
        pass
    return report.lines - 1


def read_with_pandas(path: Path) -> int:
    """Lines read and typed as one would by hand: times, durations, sizes, resources; the steps stay rows."""
    import pandas as pd

    frame = pd.read_csv(path, sep="|", dtype=str, quoting=3, keep_default_na=False, on_bad_lines="skip")
    for name in ("Submit", "Eligible", "Start", "End"):
        frame[name] = pd.to_datetime(frame[name], errors="coerce")
    for name in ("Elapsed", "Timelimit"):
        frame[name] = pd.to_timedelta(frame[name].str.replace("-", " days "), errors="coerce").dt.total_seconds()
    for name in ("ReqMem", "MaxRSS", "AveRSS"):
        frame[name] = _sizes_mb(frame[name])
    for name in ("ReqTRES", "AllocTRES"):
        for item in ("cpu", "mem", "node", "gres/gpu"):
            values = frame[name].str.extract(rf"(?:^|,){item}=([^,]*)", expand=False)
            frame[f"{name} {item}"] = _sizes_mb(values) if item == "mem" else pd.to_numeric(values)
    for name in ("TRESUsageInTot", "TRESUsageInMax"):
        frame[f"{name} mem"] = _sizes_mb(frame[name].str.extract(r"(?:^|,)mem=([^,]*)", expand=False))
    for name in ("ReqCPUS", "NCPUS", "NNodes", "NTasks"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return len(frame)


def _sizes_mb(texts):
    import pandas as pd

    parts = texts.str.extract(r"^([\d.]+)([KMGTP]?)$")
    factors = parts[1].map({"K": 1 / 1024, "M": 1, "": 1, "G": 1024, "T": 1024**2, "P": 1024**3})
    return pd.to_numeric(parts[0], errors="coerce") * factors


READERS = {"crowdrun": read_with_crowdrun, "pandas": read_with_pandas}


def measure(reader: str, path: Path) -> dict[str, float]:
    """Seconds by the clock and by the processor, peak memory in MB, and rows, of one reader in a process of its own."""
    answer = subprocess.run([sys.executable, __file__, reader, str(path)], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def make_log(rows: int) -> Path:
    """The log of that many lines, made once."""
    from tests.bench.sacct_log import write_sacct_log

    path = BUILD / f"sacct-{rows}.txt"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        write_sacct_log(path.with_suffix(".part"), rows)
        path.with_suffix(".part").rename(path)
    return path


def main(rows: int = ROWS, pandas_rows: int = PANDAS_ROWS) -> str:
    """The table, as markdown."""
    runs = {"crowdrun": measure("crowdrun", make_log(rows)), "pandas": measure("pandas", make_log(pandas_rows))}
    ours, theirs = runs["crowdrun"], runs["pandas"]
    lines = [
        "## Ingestion: sacct lines, 30 columns, parsed and typed",
        "",
        f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end; a seeded log. "
        f"pandas read {pandas_rows:,} lines of the {rows:,} (its memory is for those), and did not join the steps.",
        "",
        "| reader | lines | s | processor s | lines/s | lines/processor s | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {run['rows']:,.0f} | {run['s']:.1f} | {run['cpu_s']:.1f} | {run['rows'] / run['s']:,.0f} | "
        f"{run['rows'] / run['cpu_s']:,.0f} | {run['peak_mb']:.0f} |"
        for name, run in runs.items()
    ]
    times = (ours["rows"] / ours["s"]) / (theirs["rows"] / theirs["s"])
    lines += [
        "",
        f"{times:.1f} x pandas (goal {GOAL_TIMES_PANDAS}); goals of ours: {GOAL_ROWS_PER_S:,} lines/s, {GOAL_MB} MB.",
    ]
    return "\n".join(lines)


def _run(reader: str, path: Path) -> dict[str, float]:
    began, began_cpu = time.perf_counter(), time.process_time()
    rows = READERS[reader](path)
    return {
        "rows": rows,
        "s": time.perf_counter() - began,
        "cpu_s": time.process_time() - began_cpu,
        "peak_mb": getrusage(RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], Path(sys.argv[2]))))
