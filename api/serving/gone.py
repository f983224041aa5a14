"""Work for one request in another thread, which is told when the one who asked has gone."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

T = TypeVar("T")
#: How often it is looked whether the connection is still there, s.
LOOK_S = 0.25


async def while_wanted(request: Request, work: Callable[[threading.Event], T]) -> T:
    """What `work` gives; the event that it gets is set when the caller has closed the connection.

    The body must have been read.
    """
    gone = threading.Event()
    running = asyncio.ensure_future(run_in_threadpool(work, gone))
    watching = asyncio.ensure_future(_until_gone(request, gone))
    try:
        return await running
    finally:
        gone.set()
        watching.cancel()


async def _until_gone(request: Request, gone: threading.Event) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(LOOK_S)
    gone.set()
