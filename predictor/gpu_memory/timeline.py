"""What was allocated and freed, in order: the record that every figure of a forecast is read from.

>>> timeline = Timeline()
>>> weight = timeline.allocate(4000, module=0)
>>> timeline.enter("forward")
>>> output = timeline.allocate(1000, module=1)
>>> timeline.free(output)
>>> timeline.peak()
Peak(event=2, nbytes=5000)
>>> timeline.live_at(2).tolist()
[0, 1]
"""

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crowdrun.predictor.gpu_memory.convolutions import Convolution

#: What a phase is called, in the order in which they are numbered.
PHASES = ("build", "input", "forward", "backward", "optimizer", "between")
#: What a storage turned out to be. An activation is made in the forward pass and lives on into the backward pass; a
#: temporary is gone before the phase that made it ends.
KINDS = ("parameters", "gradients", "optimizer_state", "activations", "inputs", "temporaries", "buffers")
KIND = {name: number for number, name in enumerate(KINDS)}
_UNKNOWN = -1


@dataclass(frozen=True)
class Peak:
    """The largest sum of what is live: after how many events, and how many bytes."""

    event: int
    nbytes: int


@dataclass
class Timeline:
    """Storages by number, and the events (+number + 1 allocates, the negative of it frees)."""

    nbytes: Any = field(default_factory=lambda: array("q"))
    phase: Any = field(default_factory=lambda: array("b"))
    kind: Any = field(default_factory=lambda: array("b"))
    module: Any = field(default_factory=lambda: array("l"))
    events: Any = field(default_factory=lambda: array("q"))
    #: (number of events before it, name) of each phase entered.
    marks: list[tuple[int, str]] = field(default_factory=list)
    #: The calls of convolutions among the events.
    convolutions: list[Convolution] = field(default_factory=list)
    #: (number of events before it, bytes) of each attention map that is written out: no fused kernel was chosen.
    attention_maps: list[tuple[int, int]] = field(default_factory=list)
    _phase: int = 0

    def enter(self, phase: str) -> None:
        """What follows belongs to this phase."""
        self._phase = PHASES.index(phase)
        self.marks.append((len(self.events), phase))

    def allocate(self, nbytes: int, *, module: int, kind: int = _UNKNOWN) -> int:
        """A new storage; returns its number."""
        number = len(self.nbytes)
        self.nbytes.append(nbytes)
        self.phase.append(self._phase)
        self.kind.append(kind)
        self.module.append(module)
        self.events.append(number + 1)
        return number

    def free(self, number: int) -> None:
        """The storage is gone."""
        self.events.append(-number - 1)

    def sizes(self, granularity: int = 1) -> np.ndarray:
        """Bytes of each storage, rounded up to a multiple of `granularity`."""
        nbytes = np.frombuffer(self.nbytes, dtype=np.int64) if self.nbytes else np.zeros(0, dtype=np.int64)
        return -(-nbytes // granularity) * granularity

    def usage(self, granularity: int = 1) -> np.ndarray:
        """Bytes that are live after each event."""
        return self.usage_of(self.sizes(granularity))

    def usage_of(self, sizes: np.ndarray) -> np.ndarray:
        """The same with other sizes of the storages."""
        events = np.frombuffer(self.events, dtype=np.int64) if self.events else np.zeros(0, dtype=np.int64)
        return np.cumsum(np.sign(events) * sizes[np.abs(events) - 1])

    def peak(self, begin: int = 0, end: int | None = None, *, granularity: int = 1) -> Peak:
        """The first largest sum among the events from `begin` to `end`."""
        usage = self.usage(granularity)[begin:end]
        if not len(usage):
            return Peak(begin, 0)
        place = int(np.argmax(usage))
        return Peak(begin + place + 1, int(usage[place]))

    def live_at(self, event: int) -> np.ndarray:
        """Numbers of the storages that are live after the first `event` events."""
        events = np.frombuffer(self.events, dtype=np.int64)[:event]
        live = np.bincount(events[events > 0] - 1, minlength=len(self.nbytes))
        live -= np.bincount(-events[events < 0] - 1, minlength=len(self.nbytes))
        return np.flatnonzero(live)

    def freed_in(self) -> np.ndarray:
        """The phase mark (index into `marks`) in which each storage was freed, len(marks) where it never was."""
        events = np.frombuffer(self.events, dtype=np.int64)
        places = np.flatnonzero(events < 0)
        found = np.full(len(self.nbytes), len(self.marks))
        starts = np.array([start for start, _ in self.marks])
        found[-events[places] - 1] = np.searchsorted(starts, places, side="right") - 1
        return found

    def allocated_in(self) -> np.ndarray:
        """The phase mark in which each storage was allocated, -1 before the first."""
        events = np.frombuffer(self.events, dtype=np.int64)
        places = np.flatnonzero(events > 0)
        starts = np.array([start for start, _ in self.marks])
        found = np.full(len(self.nbytes), -1)
        # The last allocation counts: a storage may be freed and taken again (FSDP's unsharded parameters).
        found[events[places] - 1] = np.searchsorted(starts, places, side="right") - 1
        return found
