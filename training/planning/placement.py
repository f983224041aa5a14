"""Which cards of which nodes the ranks take: close together, or far apart. Pure.

pack: on the fewest nodes, and there on the cards with the fastest links between them. spread: on as many nodes and
sockets as there are, so that each rank has more of a node's memory, its bridges and its network for itself.

>>> pairs = NodeCards(count=4, sockets=(0, 0, 1, 1))
>>> place([pairs, pairs], 2, "spread").cards, place([pairs, pairs], 2, "pack").cards
(((0,), (0,)), ((0, 1),))
>>> place([pairs], 2, "spread").cards
((0, 2),)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from crowdrun.training.planning.topology import LINKS, NodeCards

PLACEMENTS = ("auto", "pack", "spread")
#: Strategies whose ranks meet seldom, or send little.
SELDOM = frozenset({"local-sgd", "single"})
#: Sets of cards that are compared; beyond, the first is taken that comes in the order of the cards.
MOST_SETS = 20_000


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the ranks go."""

    #: pack or spread.
    how: str
    #: A node's cards, in the order of its ranks; every node has as many.
    cards: tuple[tuple[int, ...], ...]
    #: A sentence for a person.
    reason: str

    @property
    def nodes(self) -> int:
        return len(self.cards)


def chosen(how: str, strategy: str) -> tuple[str, str]:
    """pack or spread, and why, for what was asked and a strategy.

    >>> chosen("auto", "fsdp")[0], chosen("auto", "local-sgd")[0]
    ('pack', 'spread')
    """
    if how != "auto":
        return how, "as asked for"
    if strategy in SELDOM:
        return "spread", f"the ranks of {strategy} meet seldom, and each has more of a node for itself"
    return "pack", f"the ranks of {strategy} meet at every step, over the fastest links"


def place(
    nodes: Sequence[NodeCards], ranks: int, how: str, why: str = "as asked for", *, exactly: int | None = None
) -> Placement | None:
    """Where so many ranks go, one a card; None where there are not that many free cards, evenly over nodes.

    Args:
        nodes: what each has; those that are not usable are left out by their `free`.
        ranks: 1 or more.
        how: pack or spread.
        why: for the reason.
        exactly: so many nodes, whatever `how` would take.
    """
    counts: Sequence[int] = range(1, len(nodes) + 1) if how == "pack" else range(len(nodes), 0, -1)
    if exactly is not None:
        counts = [exactly]
    for count in counts:
        each, left = divmod(ranks, count)
        fitting = [node for node in nodes if len(node.usable) >= each]
        if not left and each and len(fitting) >= count:
            cards = tuple(_in_a_ring(node, _best(node, each, how)) for node in fitting[:count])
            return Placement(how=how, cards=cards, reason=_reason(how, why, fitting[:count], cards))
    return None


def _best(node: NodeCards, count: int, how: str) -> tuple[int, ...]:
    """The set whose slowest link is fastest (pack), or that shares least (spread)."""
    sets = _sets(node.usable, count)
    key = (lambda cards: _speed(node, cards)) if how == "pack" else (lambda cards: _apart(node, cards))
    return max(sets, key=key)


def _sets(cards: Sequence[int], count: int) -> Iterator[tuple[int, ...]]:
    for number, found in enumerate(combinations(cards, count)):
        if number == MOST_SETS:
            return
        yield found


def _speed(node: NodeCards, cards: Sequence[int]) -> tuple[int, int]:
    speeds = [LINKS.index(node.link(*pair)) for pair in combinations(cards, 2)]
    return min(speeds, default=0), sum(speeds)


def _apart(node: NodeCards, cards: Sequence[int]) -> tuple[int, int]:
    sockets = len({node.sockets[card] for card in cards}) if node.sockets else 0
    return sockets, -_speed(node, cards)[1]


def _in_a_ring(node: NodeCards, cards: tuple[int, ...]) -> tuple[int, ...]:
    """Each next to the one that it reaches fastest: neighbours in a pipeline or a ring send to each other."""
    order, left = [cards[0]], list(cards[1:])
    while left:
        order.append(max(left, key=lambda card: (LINKS.index(node.link(order[-1], card)), -card)))
        left.remove(order[-1])
    return tuple(order)


def _reason(how: str, why: str, nodes: Sequence[NodeCards], cards: Sequence[Sequence[int]]) -> str:
    where = f"{len(cards)} node{'s' if len(cards) > 1 else ''} with {len(cards[0])} GPU(s) each"
    slowest = min(
        (node.link(*pair) for node, own in zip(nodes, cards, strict=True) for pair in combinations(own, 2)),
        key=LINKS.index,
        default=None,
    )
    known = any(node.links or node.sockets for node in nodes)
    link = f", the slowest link between two is {slowest}" if slowest and known else ""
    return f"placement {how} ({why}): {where}{link}"
