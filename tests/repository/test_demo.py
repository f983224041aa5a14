"""`make demo`, as a new user types it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_make_demo_goes_round_the_whole_loop(crowdrun_home: Path) -> None:
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, env={**os.environ, "CROWDRUN_HOME": str(crowdrun_home)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=840,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    figures = done.stdout.partition("The loop in figures")[2]
    asked, recommended, used = (
        float(re.search(rf"{name}\s+(\d+) MB", figures)[1])
        for name in ("asked", "recommended", "used")  # type: ignore[index]
    )
    assert used < recommended < asked
    accuracy = float(re.search(r"test accuracy of ([\d.]+)%", figures)[1])  # type: ignore[index]
    assert accuracy > 97
    before, after = map(int, re.search(r"(\d+) jobs known before, (\d+) after", figures).groups())  # type: ignore[union-attr]
    assert after == before + 1
    report = Path(figures.partition("file://")[2].splitlines()[0])
    assert report.read_text("utf-8").startswith("<!doctype html>")
