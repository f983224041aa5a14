"""Figures and dates as the pages write them.

>>> amount(2_174_310.0), amount(12.37), amount(0.0421), amount(0.0), count(16221)
('2.17 M', '12.4', '0.042', '0', '16,221')
>>> moment(1762200000.0), day(1762200000.0), share(0.4213), share(0.0004), share(1.0)
('3 Nov 2025 20:00', '3 Nov 2025', '42%', '0.04%', '100%')
"""

import math
from datetime import UTC, datetime
from typing import Any

from crowdrun.predictor.explanation.words import duration, memory, percent

NONE = "–"
#: Target -> what it is called on a page.
TARGETS = {
    "mem_mb": "Host memory",
    "run_time_s": "Run time",
    "gpus": "GPUs",
    "gpu_mem_mb": "GPU memory",
    "wait_s": "Wait",
}


def amount(value: float | None) -> str:
    """Three digits, thousands and millions by letter: GB·h and GPU·h."""
    if value is None or not math.isfinite(value):
        return NONE
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:.3g} {letter}"
    if 0 < abs(value) < 0.001:
        return "under 0.001"
    if value and abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def count(value: float | None) -> str:
    """A whole number with thousands apart."""
    return NONE if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """A share as a percentage."""
    if value is None or not math.isfinite(value):
        return NONE
    percentage = 100 * value
    if percentage and abs(percentage) < 9.95:
        return f"{percentage:.2g}%"
    return f"{percentage:.0f}%"


def moment(when: float | None) -> str:
    """Day, hour and minute, UTC."""
    return NONE if when is None else datetime.fromtimestamp(when, UTC).strftime("%-d %b %Y %H:%M")


def day(when: float | None) -> str:
    """The day, UTC."""
    return NONE if when is None else datetime.fromtimestamp(when, UTC).strftime("%-d %b %Y")


def size(target: str, value: float | None) -> str:
    """A figure of a target with its unit.

    >>> size("mem_mb", 4710.0), size("run_time_s", 5400.0), size("gpus", 2.0), size("gpus", None)
    ('4.6 GB', '1 h 30 min', '2', '–')
    """
    if value is None:
        return NONE
    if target in {"mem_mb", "gpu_mem_mb"}:
        return memory(value)
    return duration(value) if target in {"run_time_s", "wait_s"} else f"{value:.0f}"


#: What templates may call.
FILTERS: dict[str, Any] = {
    "amount": amount, "count": count, "share": share, "moment": moment, "day": day, "risk": percent,
    "memory": lambda mb: NONE if mb is None else memory(mb),
    "duration": lambda seconds: NONE if seconds is None else duration(seconds),
    "target": lambda name: TARGETS.get(name, name),
    # Not `capitalize`, which writes the rest small.
    "capitalize_first": lambda text: text[:1].upper() + text[1:],
    "shown": lambda text: NONE if text in (None, "") else text,
}  # fmt: skip
