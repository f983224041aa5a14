"""Fits as Dask tasks: the members of all targets and of all rehearsals go to the workers at once.

What goes to a worker is the class of a learner and arrays; a fitted learner comes back. Dask sends both as pickles
between its own processes, so a scheduler must be one that is trusted as much as this process; nothing of it is kept on
disk. Workers need crowdrun installed, in the same versions.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")


class DaskExecutor(Executor):
    """`concurrent.futures` on a Dask client; arguments that come again are sent once."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        #: The arguments of the last call and where they are on the workers: the members of a fit share theirs.
        self._sent: tuple[tuple[int, ...], list[Any], list[Any]] = ((), [], [])

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        kind, seed, *data = args
        task = self._client.submit(fn, kind, seed, *self._scattered(data), pure=False, **kwargs)
        answer: Future[T] = Future()
        Thread(target=_wait, args=(task, answer), daemon=True).start()
        return answer

    def _scattered(self, data: list[Any]) -> list[Any]:
        names = tuple(id(one) for one in data)
        if names != self._sent[0]:
            # The data is kept beside its names: an id is of no use once its object is gone.
            self._sent = (names, data, [self._scatter(one) for one in data])
        return self._sent[2]

    def _scatter(self, one: Any) -> Any:
        return self._client.scatter(one, hash=False)  # type: ignore[no-untyped-call]


def _wait(task: Any, answer: Future[T]) -> None:
    try:
        answer.set_result(task.result())
    except BaseException as error:
        answer.set_exception(error)
