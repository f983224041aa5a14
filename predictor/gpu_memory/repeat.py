"""The second step of a timeline as the first one again, for a step of very many operations.

What the first step made and kept (the optimiser's state, a table that a module made at its first use) is there in the
second, so it is not made again; all else comes and goes in the same order. The gradients of the first step go first.
"""

import numpy as np

from crowdrun.predictor.gpu_memory.timeline import KIND, Timeline


def repeat_step(timeline: Timeline, starts: list[int]) -> None:
    """Append the events from `starts[0]` to `starts[1]` again, with storages of their own."""
    begin, end = starts[0], starts[1]
    events = np.frombuffer(timeline.events, dtype=np.int64)[begin:end].copy()
    kinds = np.frombuffer(timeline.kind, dtype=np.int8).copy()
    live = timeline.live_at(end)
    made = np.unique(events[events > 0] - 1)
    left = np.intersect1d(live, made)
    goes = left[(kinds[left] == KIND["gradients"]) | (kinds[left] == KIND["inputs"])]
    kept = np.setdiff1d(left, goes)
    repeated = np.setdiff1d(made, kept)
    first_new = len(timeline.nbytes)
    new_number = np.full(first_new, -1)
    new_number[repeated] = first_new + np.arange(len(repeated))
    for column, code in ((timeline.nbytes, np.int64), (timeline.phase, np.int8), (timeline.kind, np.int8)):
        column.frombytes(np.frombuffer(column, dtype=code)[repeated].tobytes())
    timeline.module.frombytes(np.frombuffer(timeline.module, dtype=np.int64)[repeated].tobytes())
    marks = [(place - begin, name) for place, name in timeline.marks if begin <= place < end]
    inputs_end = next((place for place, name in marks if name == "forward"), 0)
    numbers = new_number[np.abs(events) - 1]
    moved = np.where(numbers >= 0, np.sign(events) * (numbers + 1), 0)
    head, tail = moved[:inputs_end], moved[inputs_end:]
    # The new batch is made before the old one and its gradients are let go, as in a training loop.
    parts = [head[head != 0], -(goes + 1), tail[tail != 0]]
    offset = len(timeline.events)
    shift = np.cumsum(np.concatenate([moved != 0, [False]]))
    timeline.marks += [
        (offset + int(shift[place - 1] if place else 0) + (len(goes) if place >= inputs_end else 0), name)
        for place, name in marks
    ]
    timeline.events.frombytes(np.concatenate(parts).astype(np.int64).tobytes())
