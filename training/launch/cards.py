"""The cards of this machine, as `nvidia-smi` tells of them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace

from crowdrun.training.planning.topology import NodeCards, parse_links, parse_memory

_MEMORY = ["--query-gpu=index,memory.total,memory.used", "--format=csv,noheader,nounits"]
#: An answer takes a second or two with many cards; a driver that hangs is as good as none.
TIMEOUT_S = 20.0


def cards_here(environment: Mapping[str, str] = os.environ) -> NodeCards | None:
    """Their number, memory, links, and which are free; None where there is none, or no driver that answers.

    Where CUDA_VISIBLE_DEVICES names cards by number, no other is free to us.
    """
    listed = _ask("--list-gpus")
    count = len(listed.splitlines()) if listed else 0
    if not count:
        return None
    linked = parse_links(_ask("topo", "--matrix"))
    free, card_mb = parse_memory(_ask(*_MEMORY))
    allowed = _allowed(environment, count)
    return replace(
        linked if linked.count == count else NodeCards(count=count),
        free=tuple(card for card in free if card in allowed),
        card_mb=card_mb,
    )


def _allowed(environment: Mapping[str, str], count: int) -> set[int]:
    """
    >>> _allowed({"CUDA_VISIBLE_DEVICES": "1,3"}, 4), _allowed({}, 2), _allowed({"CUDA_VISIBLE_DEVICES": ""}, 2)
    ({1, 3}, {0, 1}, set())
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    words = named.split(",") if named is not None else []
    if named is None or not all(word.strip().isdigit() for word in words if word.strip()):
        return set(range(count))
    return {int(word) for word in words if word.strip()}


def _ask(*arguments: str) -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    try:
        answer = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""
