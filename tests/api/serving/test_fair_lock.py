"""The lock that takes turns."""

import threading
import time

from crowdrun.api.serving.fair_lock import FairLock


def test_who_gives_it_back_does_not_take_it_again_before_one_who_waits() -> None:
    lock, turns = FairLock(), list[str]()
    begun = threading.Event()

    def greedy() -> None:
        for _ in range(20):
            with lock:
                turns.append("greedy")
                begun.set()
                time.sleep(0.02)

    thread = threading.Thread(target=greedy)
    thread.start()
    begun.wait()
    for _ in range(3):
        with lock:
            turns.append("other")
    thread.join()
    # Each of the three came after the part that was being done, or one more where it was late to wait.
    assert turns.index("other") <= 2
    assert len(turns) == 23
    assert max(place for place, who in enumerate(turns) if who == "other") <= 8


def test_it_is_not_had_while_somebody_holds_it() -> None:
    lock = FairLock()
    with lock:
        assert not lock.acquire_now()
        assert not lock.acquire(timeout=0.01)
    assert lock.acquire_now()
    lock.release()
