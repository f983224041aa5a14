"""Values of a Nextflow trace, raw (`trace.raw = true`: bytes, milliseconds) and as people read them.

>>> size_mb("8589934592"), size_mb("7.5 GB")
(8192.0, 7680.0)
>>> duration_s("14400000"), duration_s("3h 2m 1s"), duration_s("1d 2h"), duration_s("250ms")
(14400.0, 10921.0, 93600.0, 0.25)
>>> timestamp_s("1719302359716"), timestamp_s("2024-06-25 07:59:19.716")
(1719302359.716, 1719302359.716)
>>> known("-") is None, known("x")
(True, 'x')
"""

import re
from datetime import UTC, datetime

from crowdrun.data.units import memory_mb

#: Suffix of a part of a Nextflow duration -> seconds.
DURATION_FACTORS_S: dict[str, float] = {
    "ms": 0.001,
    "milli": 0.001,
    "millis": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def known(text: str | None) -> str | None:
    """None for what Nextflow writes when it does not know: nothing, `-` or `null`."""
    text = (text or "").strip()
    return None if text in ("", "-", "null") else text


def size_mb(text: str) -> float:
    """MB of 2^20 bytes; Nextflow's KB, MB, GB are powers of 1024 too, a bare number is bytes.

    Raises:
        ValueError: not a size.
    """
    return memory_mb(text, bare="B")


def duration_s(text: str) -> float:
    """Seconds; a bare number is milliseconds.

    Raises:
        ValueError: not a duration.
    """
    if _is_number(text):
        return float(text) / 1000
    parts = [(float(match[1]), match[2]) for match in _PART.finditer(text)]
    if not parts or _PART.sub("", text) or any(unit not in DURATION_FACTORS_S for _, unit in parts):
        raise ValueError(f"duration {text!r} is not one of Nextflow's, like 3h 2m or 7200000")
    return sum(value * DURATION_FACTORS_S[unit] for value, unit in parts)


def timestamp_s(text: str) -> float:
    """UTC epoch seconds; a bare number is epoch milliseconds, a date without a zone is taken as UTC.

    Raises:
        ValueError: not a time.
    """
    if _is_number(text):
        return float(text) / 1000
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_number(text: str) -> bool:
    return text.isascii() and text.replace(".", "", 1).isdigit()
