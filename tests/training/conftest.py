"""What tests of real processes share."""

import time
from collections.abc import Callable, Iterable

import psutil
import pytest


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def assert_gone() -> Callable[[Iterable[int]], None]:
    """Fails when one of the processes is there after ten seconds; a zombie is gone."""

    def check(pids: Iterable[int]) -> None:
        left = list(pids)
        for _ in range(200):
            left = [pid for pid in left if _alive(pid)]
            if not left:
                return
            time.sleep(0.05)
        raise AssertionError(f"still there: {left}")

    return check
