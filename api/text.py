"""Figures as a person writes them, in sbatch's own units.

>>> memory_text(4705.2), memory_text(850), memory_text(65536), memory_text(2 * 1024**2)
('4.6G', '850M', '64G', '2T')
>>> duration_text(5400), duration_text(93784), duration_text(17.2)
('1:30:00', '1-02:03:04', '0:00:18')
"""

import math


def memory_text(mb: float, *, up: bool = True) -> str:
    """MB of 2^20 bytes with Slurm's letters, two to four digits; rounded up, since it is a request, unless told."""
    whole = math.ceil if up else round
    for size_mb, letter in ((1024.0**2, "T"), (1024.0, "G")):
        if mb >= size_mb:
            return f"{whole(mb / size_mb * 10 - 1e-9) / 10:g}{letter}"
    return f"{whole(mb)}M"


def duration_text(seconds: float) -> str:
    """Seconds as [D-]HH:MM:SS, rounded up."""
    minutes, second = divmod(math.ceil(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02}:{minute:02}:{second:02}" if days else f"{hour}:{minute:02}:{second:02}"
