"""A simulation of torch's caching allocator for CUDA: what it reserves for a sequence of allocations and frees.

After c10/cuda/CUDACachingAllocator.cpp (default settings, one stream): sizes are rounded up to 512 bytes; up to 1 MiB
come from segments of 2 MiB, up to 10 MiB from segments of 20 MiB, larger ones get a segment of their own, rounded up to
2 MiB. The smallest free block that is large enough is taken (the first by address among equals), and split where the
rest is worth it; a block that is freed joins the free ones beside it. A segment is kept.

>>> allocator = CachingAllocator()
>>> allocator.allocate(0, 1000)
>>> allocator.allocate(1, 12 << 20)
>>> allocator.allocated, allocator.reserved >> 20
(12583936, 14)
>>> allocator.free(1)
>>> allocator.allocate(2, 11 << 20)
>>> allocator.reserved >> 20
14
"""

from bisect import bisect_left, insort

import numpy as np

from crowdrun.predictor.gpu_memory.timeline import Timeline

_MIB = 1 << 20
#: kMinBlockSize, kSmallSize, kSmallBuffer, kMinLargeAlloc, kLargeBuffer, kRoundLarge.
MIN_BLOCK, SMALL_SIZE, SMALL_SEGMENT = 512, _MIB, 2 * _MIB
MIN_LARGE, LARGE_SEGMENT, ROUND_LARGE = 10 * _MIB, 20 * _MIB, 2 * _MIB


class _Block:
    """A piece of a segment; `before` and `after` lie beside it in the same segment."""

    __slots__ = ("after", "before", "free", "place", "size", "small")

    def __init__(self, place: int, size: int, small: bool) -> None:
        self.place, self.size, self.small = place, size, small
        self.free = False
        self.before: _Block | None = None
        self.after: _Block | None = None


class CachingAllocator:
    """Blocks by the number of the storage that holds them; `allocated` and `reserved` are bytes."""

    def __init__(self) -> None:
        self.allocated = self.reserved = 0
        self.allocated_peak = self.reserved_peak = 0
        self._held: dict[int, _Block] = {}
        #: Pool (small or not) -> its free blocks by (size, address).
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        self._blocks: dict[int, _Block] = {}
        self._next_place = 0

    def allocate(self, number: int, nbytes: int) -> None:
        """A storage of `nbytes`, known from here on by its number; an empty one takes nothing."""
        if nbytes <= 0:
            return
        size = max(MIN_BLOCK, -(-nbytes // MIN_BLOCK) * MIN_BLOCK)
        small = size <= SMALL_SIZE
        block = self._take(size, small) or self._new_segment(size, small)
        self._split(block, size)
        self._held[number] = block
        self.allocated += block.size
        self.allocated_peak = max(self.allocated_peak, self.allocated)

    def free(self, number: int) -> None:
        """The storage is gone; its block is kept for others."""
        block = self._held.pop(number, None)
        if block is None:
            return
        self.allocated -= block.size
        for beside in (block.before, block.after):
            if beside is not None and beside.free:
                self._withdraw(beside)
                _join(block, beside)
        block.free = True
        self._blocks[block.place] = block
        insort(self._free[block.small], (block.size, block.place))

    def _take(self, size: int, small: bool) -> _Block | None:
        free = self._free[small]
        place = bisect_left(free, (size, -1))
        if place == len(free):
            return None
        block = self._blocks[free[place][1]]
        self._withdraw(block)
        return block

    def _withdraw(self, block: _Block) -> None:
        free = self._free[block.small]
        del free[bisect_left(free, (block.size, block.place))]
        del self._blocks[block.place]
        block.free = False

    def _new_segment(self, size: int, small: bool) -> _Block:
        length = segment_size(size)
        block = _Block(self._next_place, length, small)
        # A gap, so that segments never look like neighbours.
        self._next_place += length + MIN_BLOCK
        self.reserved += length
        self.reserved_peak = max(self.reserved_peak, self.reserved)
        return block

    def _split(self, block: _Block, size: int) -> None:
        """should_split: a small block's rest of 512 bytes is worth it, a large one's of more than 1 MiB."""
        rest = block.size - size
        if not (rest >= MIN_BLOCK if block.small else rest > SMALL_SIZE):
            return
        other = _Block(block.place + size, rest, block.small)
        other.before, other.after = block, block.after
        if other.after is not None:
            other.after.before = other
        block.size, block.after = size, other
        other.free = True
        self._blocks[other.place] = other
        insort(self._free[other.small], (other.size, other.place))


def segment_size(size: int) -> int:
    """Bytes that are asked of CUDA for a block (get_allocation_size).

    >>> [segment_size(size) >> 20 for size in (512, 2 << 20, (10 << 20) + 512)]
    [2, 20, 12]
    """
    if size <= SMALL_SIZE:
        return SMALL_SEGMENT
    if size < MIN_LARGE:
        return LARGE_SEGMENT
    return -(-size // ROUND_LARGE) * ROUND_LARGE


def _join(block: _Block, beside: _Block) -> None:
    """The free neighbour becomes part of the block."""
    if beside is block.before:
        block.place, block.before = beside.place, beside.before
        if block.before is not None:
            block.before.after = block
    else:
        block.after = beside.after
        if block.after is not None:
            block.after.before = block
    block.size += beside.size


def simulate(timeline: Timeline, ignored: np.ndarray, first: tuple[int, ...] = ()) -> CachingAllocator:
    """The allocator after a whole timeline.

    Args:
        ignored: a truth value for each storage, true where it lies in host memory.
        first: bytes of what is taken before anything else and kept (workspaces).
    """
    allocator = CachingAllocator()
    for place, nbytes in enumerate(first):
        allocator.allocate(-1 - place, nbytes)
    sizes, hidden = timeline.nbytes, ignored.tolist()
    for event in timeline.events:
        number = abs(event) - 1
        if hidden[number]:
            continue
        if event > 0:
            allocator.allocate(number, sizes[number])
        else:
            allocator.free(number)
    return allocator
