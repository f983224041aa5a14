"""What of a traced step tells how much more the card will hold: sizes in MB and counts, all known without a GPU."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.gpu_memory.convolutions import KINDS, Convolution
from crowdrun.predictor.gpu_memory.timeline import PHASES

if TYPE_CHECKING:
    # torch, which who applies a correction need not have.
    from crowdrun.predictor.gpu_memory.step import TracedStep

Array = NDArray[np.float64]
_MB = 1 << 20

#: The parts of the peak that are told apart.
SPLIT = ("parameters", "gradients", "optimizer_state", "activations", "inputs", "temporaries")
#: Name -> MB, or a number of. `KIND_io`: the input and output of the largest convolution of that kind together, which
#: is what cuDNN's transformed copies of them grow with; `KIND_weight`: its kernel. `attention_maps`: what attention
#: with a mask of its own writes out. `forward`: all that a forward pass makes.
NAMES = (
    "reserved", "allocated", *SPLIT, "largest", "forward", "attention_maps",
    *(f"{kind}_io" for kind in KINDS), *(f"{kind}_weight" for kind in KINDS),
    "storages", "convolutions", "distinct_convolutions",
)  # fmt: skip


def features_of(
    traced: "TracedStep", sizes: NDArray[np.int64], split: Mapping[str, float], reserved_mb: float
) -> dict[str, float]:
    """NAMES -> value.

    Args:
        traced: the step.
        sizes: (storages,) bytes of each on the device.
        split: MB of each part at the peak.
        reserved_mb: peak of what torch's allocator holds.
    """
    timeline = traced.timeline
    until = traced.step_starts[1] if len(traced.step_starts) > 1 else len(timeline.events)
    first_step = [one for one in timeline.convolutions if one.event < until]
    made = np.frombuffer(timeline.phase, dtype=np.int8) == PHASES.index("forward")
    return {
        "reserved": reserved_mb,
        "allocated": sum(split.values()),
        **{part: split.get(part, 0.0) for part in SPLIT},
        "largest": float(sizes.max(initial=0)) / _MB,
        "forward": float(sizes[made].sum()) / len(traced.step_starts) / _MB,
        "attention_maps": sum(nbytes for event, nbytes in timeline.attention_maps if event < until) / _MB,
        **_largest_convolutions(first_step),
        "storages": float(len(sizes)),
        "convolutions": float(len(first_step)),
        "distinct_convolutions": float(len({one.shape for one in first_step})),
    }


def _largest_convolutions(convolutions: Iterable[Convolution]) -> dict[str, float]:
    found = dict.fromkeys((f"{kind}_{what}" for kind in KINDS for what in ("io", "weight")), 0.0)
    for one in convolutions:
        io, weight = f"{one.kind}_io", f"{one.kind}_weight"
        found[io] = max(found[io], (one.input_bytes + one.output_bytes) / _MB)
        found[weight] = max(found[weight], one.weight_bytes / _MB)
    return found


def table(rows: Iterable[Mapping[str, float]]) -> dict[str, Array]:
    """Columns by name; what a row does not know is 0."""
    listed = list(rows)
    return {name: np.array([row.get(name, 0.0) for row in listed], dtype=np.float64) for name in NAMES}


#: Columns of `shares`: how a step is made up, whatever its size, and how large it is.
_RELATIVE = (*SPLIT, "allocated", "largest", "attention_maps", *(f"{kind}_io" for kind in KINDS))
_ABSOLUTE = ("reserved", "parameters", "storages", "convolutions", "distinct_convolutions",
             *(f"{kind}_io" for kind in KINDS), *(f"{kind}_weight" for kind in KINDS))  # fmt: skip


def shares(columns: Mapping[str, Array]) -> Array:
    """(n, k): parts relative to what is reserved, and the logarithms of sizes and counts.

    >>> shares(table([{"reserved": 1000.0, "activations": 800.0}])).shape
    (1, 26)
    """
    reserved = np.maximum(columns["reserved"], 1.0)
    relative = [columns[name] / reserved for name in _RELATIVE]
    absolute = [np.log1p(columns[name]) for name in _ABSOLUTE]
    return np.column_stack(relative + absolute)
