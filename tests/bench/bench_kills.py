"""Kills at random moments of a training by two ranks: does the run end with the losses of one that nobody touched?

python -m tests.bench kills; CROWDRUN_KILLS=50 says how many, 10 without it.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import kills

STEP_S = "0.02"


def main() -> str:
    """One run a kill, each kind in turn; as markdown."""
    count = int(os.environ.get("CROWDRUN_KILLS", "10"))
    with tempfile.TemporaryDirectory() as folder:
        whole = kills.told(kills.train(Path(folder), kills.without_checkpoints(kills.job(Path(folder)))))
        rows = [_row(Path(folder), number, whole) for number in range(count)]
    same = sum(row.count("| yes |") for row in rows)
    head = ["| kill | newest checkpoint then | went on at | same losses | whole run, s |", "|---|---|---|---|---|"]
    return "\n".join([f"## Kills: {same} of {count} ended with the same losses and scores", "", *head, *rows])


def _row(folder: Path, number: int, whole: object) -> str:
    kind = list(kills.KINDS)[number % len(kills.KINDS)]
    killer, begun = kills.Killer(kind, seed=number), time.perf_counter()
    record = kills.train(folder, kills.job(folder), listener=killer, STEP_S=STEP_S)
    went_on = kills.first_step(record.folder / "attempt-2") if len(record.attempts) > 1 else "not killed"
    same = "yes" if kills.told(record) == whole and len(record.attempts) > 1 else "NO"
    print(f"{number + 1}: {kind}: {same}", file=sys.stderr, flush=True)
    return f"| {kind} | {killer.killed_at} | {went_on} | {same} | {time.perf_counter() - begun:.0f} |"
