"""The simulated allocator against the rules of c10/cuda/CUDACachingAllocator.cpp, worked out by hand."""

from hypothesis import given
from hypothesis import strategies as st

from crowdrun.predictor.gpu_memory.caching_allocator import CachingAllocator

MIB = 1 << 20


def after(*actions: tuple[int, int] | int) -> CachingAllocator:
    """(number, bytes) allocates, a number frees."""
    allocator = CachingAllocator()
    for action in actions:
        if isinstance(action, tuple):
            allocator.allocate(*action)
        else:
            allocator.free(action)
    return allocator


def test_small_ones_share_a_segment_of_two_mib() -> None:
    allocator = after(*((number, 1) for number in range(4096)))
    assert (allocator.allocated, allocator.reserved) == (4096 * 512, 2 * MIB)
    allocator.allocate(4096, 1)
    assert allocator.reserved == 4 * MIB


def test_middle_ones_share_a_segment_of_twenty_mib() -> None:
    assert after((0, 2 * MIB), (1, 9 * MIB), (2, 8 * MIB)).reserved == 20 * MIB


def test_the_rest_of_a_large_block_is_not_split_off_up_to_one_mib() -> None:
    allocator = after((0, 20 * MIB), 0, (1, 19 * MIB))
    assert allocator.allocated == 20 * MIB
    allocator = after((0, 20 * MIB), 0, (1, 18 * MIB))
    assert (allocator.allocated, allocator.reserved) == (18 * MIB, 20 * MIB)


def test_neighbours_that_are_free_join() -> None:
    allocator = after((0, 6 * MIB), (1, 6 * MIB), (2, 6 * MIB), 0, 2, 1, (3, 18 * MIB))
    assert allocator.reserved == 20 * MIB


def test_segments_never_join() -> None:
    assert after((0, 12 * MIB), (1, 12 * MIB), 0, 1, (2, 24 * MIB)).reserved == 48 * MIB


def test_the_smallest_block_that_is_large_enough_is_taken() -> None:
    allocator = after((0, 40 * MIB), (1, 12 * MIB), 0, 1, (2, 12 * MIB), (3, 40 * MIB))
    assert allocator.reserved == 52 * MIB


def test_an_empty_tensor_takes_nothing() -> None:
    assert after((0, 0), 0).reserved == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30 * MIB)), max_size=60))
def test_what_is_freed_is_all_there_again(actions: list[tuple[int, int]]) -> None:
    """After everything was freed each segment is one free block, whatever the order."""
    allocator, held = CachingAllocator(), dict[int, int]()
    for number, nbytes in actions:
        if number in held:
            allocator.free(number)
            del held[number]
        else:
            allocator.allocate(number, nbytes)
            held[number] = nbytes
        assert sum(held.values()) <= allocator.allocated <= allocator.reserved
    for number in held:
        allocator.free(number)
    free = [size for blocks in allocator._free.values() for size, _ in blocks]
    assert allocator.allocated == 0
    assert sum(free) == allocator.reserved
    assert all(block.before is None and block.after is None for block in allocator._blocks.values())
