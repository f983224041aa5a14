"""A step with a batch between two that were traced, without tracing it.

Each storage's size is so much and so much a sample: where the two traces took and freed the same storages in the same
order, those of a batch between them are known to the byte, and the allocator can be asked about any batch.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import ForecastError
from crowdrun.predictor.gpu_memory.convolutions import Convolution
from crowdrun.predictor.gpu_memory.step import TracedStep
from crowdrun.predictor.gpu_memory.timeline import Timeline

Ints = NDArray[np.int64]


def between(small: TracedStep, large: TracedStep, share: Fraction) -> TracedStep:
    """The step at `share` of the way from the smaller batch to the larger, 0 to 1.

    Raises:
        ForecastError: the two did not take the same storages in the same order, or a size is not a whole number of
            bytes in between; the batch must be traced itself.
    """
    first, last = small.timeline, large.timeline
    if first.events != last.events or len(first.convolutions) != len(last.convolutions):
        raise ForecastError("the two batches took their storages in another order; trace the batch between them itself")
    timeline = Timeline(
        nbytes=array("q", _at(first.nbytes, last.nbytes, share).tolist()),
        phase=first.phase, kind=first.kind, module=first.module, events=first.events, marks=first.marks,
        convolutions=_convolutions(first.convolutions, last.convolutions, share),
        attention_maps=_maps(first.attention_maps, last.attention_maps, share),
    )  # fmt: skip
    return replace(small, timeline=timeline)


def _at(small: Sequence[int], large: Sequence[int], share: Fraction) -> Ints:
    low, high = np.array(small, dtype=np.int64), np.array(large, dtype=np.int64)
    parts, rest = np.divmod((high - low) * share.numerator, share.denominator)
    if rest.any():
        raise ForecastError("a storage does not grow evenly with the batch; trace the batch between the two itself")
    return low + parts


def _convolutions(small: list[Convolution], large: list[Convolution], share: Fraction) -> list[Convolution]:
    inputs = _at([one.input_bytes for one in small], [one.input_bytes for one in large], share).tolist()
    outputs = _at([one.output_bytes for one in small], [one.output_bytes for one in large], share).tolist()
    return [
        replace(one, input_bytes=given, output_bytes=made)
        for one, given, made in zip(small, inputs, outputs, strict=True)
    ]


def _maps(small: list[tuple[int, int]], large: list[tuple[int, int]], share: Fraction) -> list[tuple[int, int]]:
    sizes = _at([nbytes for _, nbytes in small], [nbytes for _, nbytes in large], share).tolist()
    return [(event, nbytes) for (event, _), nbytes in zip(small, sizes, strict=True)]
