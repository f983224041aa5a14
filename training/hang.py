"""Which rank all others wait for, when a training stands still.

>>> ranks = [Beat(rank=r, time_s=100.0, since_s=40.0, step=7, waits=r != 1, where="loss (task.py:9)") for r in range(3)]
>>> hung(ranks, ranks=3, hang_s=50.0, now=100.0)
'rank 1 hung: no step for 60 s, in loss (task.py:9)'
>>> hung(ranks, ranks=3, hang_s=70.0, now=100.0) is None
True
"""

from collections.abc import Sequence

from crowdrun.training.heartbeat import Beat

#: A rank whose thread has not written for so long, once a second else, is frozen as a whole, s.
FROZEN_S = 5.0


def hung(beats: Sequence[Beat], *, ranks: int, hang_s: float, now: float) -> str | None:
    """The cause to be told, when no rank has made a step for `hang_s`; None as long as one has."""
    if len(beats) < ranks or any(now - beat.since_s < hang_s for beat in beats):
        return None
    frozen = [beat for beat in beats if now - beat.time_s > FROZEN_S]
    working = [beat for beat in beats if not beat.waits]
    named = frozen or working
    still_s = min(now - beat.since_s for beat in beats)
    if not named:
        return f"all ranks hung: no step for {still_s:.0f} s, and each waits for others"
    names = " and ".join(f"rank {beat.rank}" for beat in named)
    does = f"answers no more, last seen in {named[0].where}" if frozen else f"in {named[0].where}"
    return f"{names} hung: no step for {still_s:.0f} s, {does}"
