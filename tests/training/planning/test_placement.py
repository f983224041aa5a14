import pytest

from crowdrun.training.planning.placement import chosen, place
from crowdrun.training.planning.topology import NodeCards, parse_links, parse_memory

#: Four cards, two a socket; 0 and 2, and 1 and 3, are joined by NVLink, as `nvidia-smi topo --matrix` shows it.
PAIRS = """\
\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID
GPU0\t X \tSYS\tNV12\tPHB\tPIX\t0-31\t0\t\tN/A
GPU1\tSYS\t X \tPHB\tNV12\tSYS\t32-63\t1\t\tN/A
GPU2\tNV12\tPHB\t X \tSYS\tPIX\t0-31\t0\t\tN/A
GPU3\tPHB\tNV12\tSYS\t X \tSYS\t32-63\t1\t\tN/A
NIC0\tPIX\tSYS\tPIX\tSYS\t X \t\t\t\t

Legend:

  X    = Self
"""
NODE = parse_links(PAIRS)


def test_links_and_sockets_are_read_from_the_matrix_without_the_network_cards() -> None:
    assert (NODE.count, NODE.sockets) == (4, (0, 1, 0, 1))
    assert (NODE.link(0, 2), NODE.link(0, 3), NODE.link(0, 1)) == ("NV", "PHB", "SYS")


@pytest.mark.parametrize("text", ["", "No devices were found\n", "bash: nvidia-smi: command not found"])
def test_what_is_no_matrix_shows_no_card(text: str) -> None:
    assert parse_links(text).count == 0


def test_pack_takes_the_cards_with_the_fastest_link_and_spread_those_of_different_sockets() -> None:
    packed, apart = place([NODE], 2, "pack"), place([NODE], 2, "spread")
    assert packed is not None
    assert apart is not None
    assert packed.cards == ((0, 2),)
    assert "slowest link between two is NV" in packed.reason
    assert {NODE.sockets[card] for card in apart.cards[0]} == {0, 1}


def test_neighbours_in_the_order_of_the_ranks_are_joined_by_the_fastest_links() -> None:
    found = place([NODE], 4, "pack")
    assert found is not None
    assert found.cards == ((0, 2, 1, 3),)


def test_a_card_that_others_hold_is_not_taken() -> None:
    free, card_mb = parse_memory("0, 24576, 18000\n1, 24576, 3\n2, 24576, 3\n3, 24576, 3\n")
    node = NodeCards(count=4, free=free, sockets=NODE.sockets, links=NODE.links, card_mb=card_mb)
    found = place([node], 2, "pack")
    assert found is not None
    assert (found.cards, node.card_mb) == (((1, 3),), 24576.0)
    assert place([node], 4, "pack") is None


@pytest.mark.parametrize(
    ("ranks", "how", "each"),
    [(4, "pack", [4]), (8, "pack", [4, 4]), (6, "pack", [3, 3]), (4, "spread", [1, 1, 1, 1]), (6, "spread", [2, 2, 2])],
)
def test_ranks_are_in_equal_parts_on_few_or_many_nodes(ranks: int, how: str, each: list[int]) -> None:
    found = place([NODE] * 4, ranks, how)
    assert found is not None
    assert [len(cards) for cards in found.cards] == each
    assert found.nodes == len(each)


def test_a_number_of_nodes_that_a_person_chose_is_kept() -> None:
    found = place([NODE] * 4, 4, "pack", exactly=2)
    assert found is not None
    assert [len(cards) for cards in found.cards] == [2, 2]
    assert place([NODE] * 4, 4, "pack", exactly=3) is None


def test_more_than_there_are_cannot_be_placed() -> None:
    assert place([NODE, NODE], 9, "pack") is None
    assert place([], 1, "spread") is None


def test_ranks_that_meet_seldom_are_spread_unless_a_person_says_otherwise() -> None:
    assert chosen("auto", "local-sgd")[0] == "spread"
    assert chosen("auto", "pipeline")[0] == "pack"
    assert chosen("pack", "local-sgd") == ("pack", "as asked for")
