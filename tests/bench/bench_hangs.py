"""Ranks that stand still at a random step, one a run, in every place of a step: is the right one named, and in time?

python -m tests.bench hangs; CROWDRUN_HANGS=20 says how many, 9 without it, each place once.
"""

import os
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import hangs
from hangs import Hang

#: After `hang_s` it must be named within so long.
GOAL_S = 5.0
#: What else communicates, and on the way: strategy, ranks and places.
OTHERS = (
    ("ddp", 3, "backward"), ("fsdp", 2, "backward"), ("zero1", 2, "optimizer"), ("pipeline", 2, "backward"),
    ("ddp", 3, "native work in backward"), ("fsdp", 2, "forward"), ("ddp", 3, "frozen"), ("pipeline", 2, "forward"),
    ("fsdp", 2, "native work in backward"), ("ddp", 3, "data"), ("zero1", 3, "hook"),
)  # fmt: skip


def main() -> str:
    """One run a hang; as markdown."""
    count = int(os.environ.get("CROWDRUN_HANGS", str(len(hangs.PLACES))))
    chance = random.Random(0)
    cases = [("ddp", 2, place) for place in hangs.PLACES] + list(OTHERS)
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row(Path(folder) / str(n), chance, *cases[n % len(cases)]) for n in range(count)]
    named = sum("| yes |" in row for row in rows)
    head = [
        "| strategy | ranks | where | rank, step | named | after hang_s, s | told |",
        "|---|---|---|---|---|---|---|",
    ]
    title = f"## Hangs: {named} of {count} named within {GOAL_S:.0f} s of hang_s ({hangs.HANG_S:.0f} s)"
    return "\n".join([title, "", f"Load {os.getloadavg()[0]:.1f}.", "", *head, *rows])


def _row(folder: Path, chance: random.Random, strategy: str, ranks: int, place: str) -> str:
    one = Hang(strategy=strategy, ranks=ranks, place=place, rank=chance.randrange(ranks), step=chance.randint(1, 60))
    found = hangs.hang(folder, one)
    late_s = found.after_s - hangs.HANG_S
    yes = found.cause.startswith(f"rank {one.rank} hung") and late_s <= GOAL_S
    row = (
        f"| {strategy} | {ranks} | {place} | {one.rank}, {one.step} | {'yes' if yes else 'NO'} | {late_s:.1f} "
        f"| {found.cause} |"
    )
    print(row, file=sys.stderr, flush=True)
    return row
