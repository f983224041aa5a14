"""Slurm's trackable resources (`man slurm.conf`, AccountingStorageTRES): `cpu=8,mem=62.50G,node=2,gres/gpu:a100=4`.

>>> wanted = parse("billing=4,cpu=4,mem=1200M,node=2,gres/gpu=2,gres/gpu:a100=2")
>>> wanted.mem_mb, wanted.cpus, wanted.nodes, wanted.gpus, wanted.gpu_type
(1200.0, 4, 2, 2, 'a100')
>>> parse_gres("gpu:a100:2(S:0-1),craynetwork:1"), parse_gres("PER_NODE:gpu:4")
((2, 'a100'), (4, None))
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from crowdrun.data.units import memory_mb

_GRES_GPU = re.compile(r"(?:^|[:,])gpu(?::([A-Za-z][\w.-]*))?(?:[:=](\d+))?(?=[,(]|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tres:
    """What one such string says; None where it says nothing."""

    mem_mb: float | None = None
    cpus: int | None = None
    nodes: int | None = None
    gpus: int | None = None
    gpu_type: str | None = None


@lru_cache(maxsize=1 << 16)
def parse(text: str) -> Tres:
    """The resources in a TRES string; items that crowdrun has no use for are passed over.

    Raises:
        ValueError: an item that it does use has no number.
    """
    items = dict(item.partition("=")[::2] for item in text.split(",") if "=" in item)
    typed = {name.removeprefix("gres/gpu:"): count for name, count in items.items() if name.startswith("gres/gpu:")}
    # With both, the plain item is the total of the typed ones.
    gpus = items.get("gres/gpu") or (str(sum(map(int, typed.values()))) if typed else None)
    return Tres(
        mem_mb=_size(items.get("mem")),
        cpus=_count(items.get("cpu")),
        nodes=_count(items.get("node")),
        gpus=_count(gpus),
        gpu_type=",".join(sorted(typed)) or None,
    )


def parse_gres(text: str) -> tuple[int | None, str | None]:
    """GPUs and their type in the older ReqGRES and AllocGRES; None and None where there is no GPU."""
    found = _GRES_GPU.findall(text.removeprefix("PER_NODE:"))
    if not found:
        return None, None
    types = sorted({kind for kind, _ in found if kind})
    return sum(int(count or 1) for _, count in found), ",".join(types) or None


def _size(text: str | None) -> float | None:
    return memory_mb(text) if text else None


def _count(text: str | None) -> int | None:
    return int(text) if text else None
