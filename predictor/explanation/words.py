"""Figures and targets as people write them.

>>> from crowdrun.predictor.target import TARGETS_BY_NAME
>>> size(TARGETS_BY_NAME["mem_mb"], 4710.0), size(TARGETS_BY_NAME["run_time_s"], 5400.0)
('4.6 GB', '1 h 30 min')
>>> duration(6649), duration(59.7), duration(7200)
('1 h 51 min', '1 min', '2 h')
>>> [percent(risk) for risk in (0.00002, 0.0312, 0.25, 0.9999)]
['under 0.1%', '3.1%', '25%', 'over 99.9%']
"""

from crowdrun.predictor.target import Target

#: Target -> what it is called, and what a job did with it.
NOUNS = {
    "mem_mb": "host memory",
    "run_time_s": "run time",
    "gpus": "GPUs",
    "gpu_mem_mb": "GPU memory",
    "wait_s": "wait",
}
VERBS = {"mem_mb": "used", "run_time_s": "ran for", "gpus": "held", "gpu_mem_mb": "used", "wait_s": "waited"}


def size(target: Target, value: float) -> str:
    """A figure of a target with its unit."""
    if target.name in {"mem_mb", "gpu_mem_mb"}:
        return memory(value)
    return duration(value) if target.name in {"run_time_s", "wait_s"} else f"{value:.0f}"


def memory(mb: float) -> str:
    """MB of 2^20 bytes; from 1 GB on in GB of 1024 of them, to three digits."""
    if mb < 1024:
        return f"{mb:.0f} MB"
    gb = mb / 1024
    return f"{gb:.3g} GB" if gb < 999.5 else f"{gb:.0f} GB"


def duration(seconds: float) -> str:
    """To the second, and to the minute from an hour on."""
    whole = round(seconds) if seconds < 3600 else round(seconds / 60) * 60
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    parts = ((hours, "h"), (minute, "min"), (second, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def percent(risk: float) -> str:
    """A probability; what is next to nothing, or next to certain, is not told apart further."""
    if risk < 0.001:
        return "under 0.1%"
    if risk > 0.999:
        return "over 99.9%"
    return f"{risk:.1%}" if risk < 0.1 else f"{risk:.0%}"
