"""Which cards there are, and how they are linked: from `nvidia-smi`, from Slurm, or described by hand.

>>> text = "\\tGPU0\\tGPU1\\tGPU2\\tCPU Affinity\\tNUMA Affinity\\n"
>>> text += "GPU0\\t X \\tNV12\\tSYS\\t0-31\\t0\\nGPU1\\tNV12\\t X \\tSYS\\t0-31\\t0\\n"
>>> text += "GPU2\\tSYS\\tSYS\\t X \\t32-63\\t1\\n"
>>> node = parse_links(text)
>>> node.sockets, node.link(0, 1), node.link(0, 2)
((0, 0, 1), 'NV', 'SYS')
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: How two cards reach each other, the slowest first (the legend of `nvidia-smi topo --matrix`): over the link between
#: sockets, over one socket's host bridges, over one host bridge, over several and over one PCIe switch, over NVLink.
LINKS = ("SYS", "NODE", "PHB", "PXB", "PIX", "NV")
#: A card of which others hold so much is not free.
BUSY_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class NodeCards:
    """The cards of one node, numbered as the driver numbers them."""

    count: int
    #: Numbers of those that are free; None is all of them.
    free: tuple[int, ...] | None = None
    #: Socket (NUMA node) of each card; empty where it is not known.
    sockets: tuple[int, ...] = ()
    #: Row and column a card: one of LINKS; empty where it is not known.
    links: tuple[tuple[str, ...], ...] = ()
    #: Memory of the smallest card, MB; None where it is not known.
    card_mb: float | None = None

    @property
    def usable(self) -> tuple[int, ...]:
        return tuple(range(self.count)) if self.free is None else self.free

    def link(self, one: int, other: int) -> str:
        """How two cards are linked; by their sockets where no matrix says it, and at worst where nothing does."""
        if self.links:
            return self.links[one][other]
        same = bool(self.sockets) and self.sockets[one] == self.sockets[other]
        return "NODE" if same else "SYS"


def parse_links(text: str) -> NodeCards:
    """The cards of this node from `nvidia-smi topo --matrix`; numbers after NV (the links in a bond) are left out."""
    rows = [line.split("\t") for line in text.splitlines()]
    heads = next(([cell.strip() for cell in row] for row in rows if "GPU0" in [cell.strip() for cell in row][1:]), [])
    columns = [place for place, name in enumerate(heads) if re.fullmatch(r"GPU\d+", name)]
    numa = next((place for place, name in enumerate(heads) if name == "NUMA Affinity"), None)
    cards = [row for row in rows if re.fullmatch(r"GPU\d+", row[0].strip()) and len(row) > len(columns)]
    links = tuple(tuple(_link(row[place]) for place in columns) for row in cards)
    sockets = [_socket(row, numa) for row in cards]
    known = tuple(socket for socket in sockets if socket is not None)
    return NodeCards(count=len(cards), sockets=known if len(known) == len(cards) else (), links=links)


def _link(cell: str) -> str:
    name = re.sub(r"\d+$", "", cell.strip())
    return name if name in LINKS else LINKS[0] if name != "X" else "NV"


def _socket(row: Sequence[str], place: int | None) -> int | None:
    if place is None or place >= len(row):
        return None
    number = re.match(r"\s*(\d+)", row[place])
    return int(number[1]) if number else None


def parse_memory(text: str) -> tuple[tuple[int, ...], float | None]:
    """Numbers of the free cards, and the memory of the smallest of all, MB.

    text: `nvidia-smi --query-gpu=index,memory.total,memory.used --format=csv,noheader,nounits`.

    >>> parse_memory("0, 24576, 12\\n1, 24576, 20111\\n2, [N/A], [N/A]\\n")
    ((0, 2), 24576.0)
    """
    free, sizes = [], []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 3 or not cells[0].isdigit():
            continue
        total, used = (float(cell) if re.fullmatch(r"[\d.]+", cell) else None for cell in cells[1:])
        if total:
            sizes.append(total)
        if not total or used is None or used <= BUSY_SHARE * total:
            free.append(int(cells[0]))
    return tuple(free), min(sizes, default=None)


def parse_gres(text: str) -> int:
    """GPUs in a `Gres` of Slurm (`man 1 sinfo`, %G).

    >>> parse_gres("gpu:a100:4(S:0-1),shard:16"), parse_gres("gpu:2"), parse_gres("(null)")
    (4, 2, 0)
    """
    return sum(int(count) for count in re.findall(r"(?:^|,)gpu(?::[^:,(]+)?:(\d+)", text))
