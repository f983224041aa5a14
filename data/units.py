"""One parser for each unit that logs and people write.

>>> memory_mb("4G"), memory_mb("2.5G"), memory_mb("318524K"), memory_mb("249172kb"), memory_mb("4000M")
(4096.0, 2560.0, 311.05859375, 243.33203125, 4000.0)
>>> duration_s("1-02:03:04"), duration_s("05:00"), duration_s("00:00:17.250"), duration_s("90")
(93784.0, 300.0, 17.25, 5400.0)
>>> duration_s("UNLIMITED") is None
True
"""

import re

#: Power of 1024 over one MB for each letter, Slurm's and PBS's way of writing sizes.
MEMORY_FACTORS_MB: dict[str, float] = {
    "": 1.0,
    "K": 1 / 1024,
    "M": 1.0,
    "G": 1024.0,
    "T": 1024.0**2,
    "P": 1024.0**3,
    "E": 1024.0**4,
}

_MEMORY = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([KMGTPE]?)(?:I?B)?\s*$", re.IGNORECASE)
_DURATION = re.compile(r"^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+(?:\.\d+)?))?$")
_NO_LIMIT = frozenset({"unlimited", "infinite", "partition_limit", "invalid", "none", ""})


def memory_mb(text: str, *, bare: str = "M") -> float:
    """MB of 2^20 bytes from `4G`, `2.5g`, `249172kb`, `4GiB` or a bare number in the unit `bare` (`B` for bytes).

    Raises:
        ValueError: not a size.
    """
    match = _MEMORY.match(text)
    if not match:
        raise ValueError(f"memory size {text!r} is not a number with a unit; write it like 4000M, 2.5G or 300K")
    number, letter = float(match[1]), match[2].upper()
    if not letter and (bare == "B" or text.strip().upper().endswith("B")):
        return number / 2**20
    return number * MEMORY_FACTORS_MB[letter or bare]


def duration_s(text: str) -> float | None:
    """Seconds from Slurm's time formats (`man sbatch`, --time): MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS.

    None for no limit.

    Raises:
        ValueError: not a duration.
    """
    text = text.strip()
    if text.lower() in _NO_LIMIT:
        return None
    match = _DURATION.match(text)
    if not match:
        raise ValueError(f"duration {text!r} is not a time; write minutes, MM:SS, HH:MM:SS or D-HH:MM:SS")
    days, first, second, third = match.groups()
    if days is not None:
        return int(days) * 86400.0 + int(first) * 3600.0 + int(second or 0) * 60.0 + float(third or 0)
    if third is not None:
        return int(first) * 3600.0 + int(second) * 60.0 + float(third)
    return int(first) * 60.0 + float(second or 0)
