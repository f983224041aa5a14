"""Memory that glibc's allocator would keep, given back; where another allocator is in use, nothing is done.

For each thread that allocates at the same time as others glibc makes an arena, up to eight a processor, and an arena
holds on to what was freed in it (`man 3 mallopt`, M_ARENA_MAX; `man 3 malloc_trim`). A service with 40 threads that
answer batches grows by as many batches.
"""

import ctypes
from functools import cache

#: <malloc.h>
_M_ARENA_MAX = -8
#: Threads allocate side by side seldom: most of the time they hold Python's own lock.
ARENAS = 2


@cache
def _library() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def keep_few_arenas() -> None:
    """For this process, from now on: best before its threads begin."""
    if library := _library():
        library.mallopt(_M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Give the system what is free, in every arena; a few milliseconds."""
    if library := _library():
        library.malloc_trim(0)
