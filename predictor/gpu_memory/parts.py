"""What each live storage is: a parameter, a gradient, an activation and so on."""

from dataclasses import dataclass

import numpy as np

from crowdrun.predictor.gpu_memory.timeline import KINDS, PHASES, Timeline


@dataclass(frozen=True)
class Parts:
    """Live storages, side by side: module number, part of KINDS, bytes."""

    modules: np.ndarray
    kinds: np.ndarray
    sizes: np.ndarray


def parts_at(timeline: Timeline, event: int, sizes: np.ndarray) -> Parts:
    """The storages that are live after `event` events.

    What was not named (a parameter, a gradient, ...) is an activation if a forward pass made it and it outlived that
    pass, or if it was recomputed for the backward pass; everything else is a temporary.
    """
    live = timeline.live_at(event)
    kinds = np.frombuffer(timeline.kind, dtype=np.int8)[live]
    phases = np.frombuffer(timeline.phase, dtype=np.int8)[live]
    modules = np.frombuffer(timeline.module, dtype=np.int64)[live]
    outlived = timeline.freed_in()[live] != timeline.allocated_in()[live]
    activation = ((phases == PHASES.index("forward")) & outlived) | (
        (phases == PHASES.index("backward")) & (modules > 0)
    )
    named = np.array(KINDS, dtype=object)[np.where(kinds >= 0, kinds, 0)]
    guessed = np.where(activation, "activations", "temporaries")
    return Parts(modules, np.where(kinds >= 0, named, guessed), sizes[live])
