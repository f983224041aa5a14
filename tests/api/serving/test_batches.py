"""Long batches wait for a place, or are refused at once."""

import asyncio
import time

import pytest

from crowdrun.api.serving.batches import PLACES, Batches
from crowdrun.data.errors import BusyError

FAR = 1e12


async def _one(batches: Batches, jobs: int, seconds: float, *, within_s: float = FAR) -> float:
    """When it was done."""
    async with batches.turn(jobs, time.monotonic() + within_s):
        await asyncio.sleep(seconds)
    return time.monotonic()


def test_a_few_go_side_by_side_and_the_others_in_the_order_in_which_they_came() -> None:
    running: list[int] = []
    most = 0

    async def batch(batches: Batches, number: int) -> None:
        nonlocal most
        async with batches.turn(200, FAR):
            running.append(number)
            most = max(most, len(running))
            await asyncio.sleep(0.001)
            assert running.pop(0) == number

    async def all_of_them() -> None:
        batches = Batches()
        await asyncio.gather(*(batch(batches, number) for number in range(20)))

    asyncio.run(all_of_them())
    assert most == PLACES


def test_what_cannot_be_done_in_time_is_refused_at_once_and_told_when_there_is_room() -> None:
    async def ask() -> BusyError:
        batches = Batches()
        await _one(batches, 200, 0.4)
        others = [asyncio.ensure_future(_one(batches, 200, 0.01)) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2000 jobs are to be answered before these 200") as refused:
            await _one(batches, 200, 0, within_s=2.5)
        await asyncio.gather(*others)
        return refused.value

    # 2,200 jobs at 2 ms a job are 4.4 s, of which 80% of 2.5 s may pass.
    assert asyncio.run(ask()).retry_after_s == pytest.approx(2.4, rel=0.3)


def test_where_nobody_waits_it_is_tried_however_slow_the_last_ones_were() -> None:
    async def ask() -> None:
        batches = Batches()
        await _one(batches, 10, 0.2)
        await _one(batches, 1000, 0, within_s=0.5)

    asyncio.run(ask())


def test_a_batch_that_fails_leaves_its_place() -> None:
    async def ask() -> None:
        batches = Batches()
        for _ in range(2 * PLACES):
            with pytest.raises(ZeroDivisionError):
                async with batches.turn(100, FAR):
                    raise ZeroDivisionError
        await _one(batches, 100, 0, within_s=1.0)

    asyncio.run(ask())
