"""Long batches, a few at a time: first come, first served; what cannot be done in time is refused at once.

If all that come shared the crowd evenly, each of 64 batches would be answered when the last of them is, or too late. A
batch that is refused costs nothing, and is told when there is likely to be room.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from crowdrun.data.errors import BusyError

#: Batches that are answered side by side, so that a very long one does not keep all others waiting.
PLACES = 4
#: What an older batch still counts in the pace when another is done.
_FADE = 0.8
#: What is expected to take longer than this share of its time is refused: a machine may become busier meanwhile.
_SHARE_OF_TIME = 0.8


class Pace:
    """How long a job takes while batches are being answered, measured.

    >>> pace = Pace()
    >>> pace.done(jobs=200, seconds=0.4)
    >>> pace.seconds(1000)
    2.0
    """

    def __init__(self) -> None:
        self._jobs = self._seconds = 0.0

    def done(self, *, jobs: int, seconds: float) -> None:
        self._jobs = _FADE * self._jobs + jobs
        self._seconds = _FADE * self._seconds + seconds

    def seconds(self, jobs: int) -> float:
        """For so many jobs; 0 before anything was measured."""
        return jobs * self._seconds / self._jobs if self._jobs else 0.0


class Batches:
    """The batches of one event loop."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(PLACES)
        self._pace = Pace()
        #: Jobs of all batches that are being answered or wait, and since when that is so or the last one was done.
        self._jobs = 0
        self._since = 0.0

    @asynccontextmanager
    async def turn(self, jobs: int, until: float) -> AsyncIterator[None]:
        """Wait for a place. until: when the answer must be there, seconds of `time.monotonic`.

        Raises:
            BusyError: that is too soon, by the pace of the last batches.
        """
        now = time.monotonic()
        late_s = self._pace.seconds(self._jobs + jobs) - _SHARE_OF_TIME * (until - now)
        if self._jobs and late_s > 0:
            raise BusyError(
                f"{self._jobs} jobs are to be answered before these {jobs}, which would not be done in time; try again "
                "later, or send fewer at once",
                retry_after_s=min(late_s, self._pace.seconds(self._jobs)),
            )
        if not self._jobs:
            self._since = now
        self._jobs += jobs
        try:
            async with self._places:
                yield
                now = time.monotonic()
                self._pace.done(jobs=jobs, seconds=now - self._since)
                self._since = now
        finally:
            self._jobs -= jobs
