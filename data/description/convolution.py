"""Layers over images of one to three dimensions: (channels, *space) a sample."""

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from crowdrun.data.description.base import Count, Layer, Signal, UnfitError, Width, each, floats, sizes

Kernel: Any = sizes(1)
Step: Any = sizes(1)
Padding: Any = sizes(0)


def slid(
    space: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, ...]:  # fmt: skip
    """How often a kernel fits in each dimension (torch.nn.Conv2d, Shape).

    Raises:
        UnfitError: nowhere.

    >>> slid((224, 224), (7, 7), (2, 2), (3, 3), (1, 1))
    (112, 112)
    """
    parts = zip(space, kernel, stride, padding, dilation, strict=True)
    sides = tuple((side + 2 * pad - far * (wide - 1) - 1) // step + 1 for side, wide, step, pad, far in parts)
    if min(sides) < 1:
        raise UnfitError(
            f"its kernel is larger than the image, {' x '.join(map(str, space))}; pad it or take a smaller"
        )
    return sides


class _Convolution(Layer):
    dimensions: ClassVar[int]

    channels: Width = Field(description="of what comes out")
    kernel_size: Kernel
    stride: Step = (1,)
    padding: Padding = (0,)
    dilation: Step = (1,)
    groups: Count = 1
    bias: bool = True

    def window(self) -> dict[str, tuple[int, ...]]:
        """The fields that are one number a dimension."""
        names = ("kernel_size", "stride", "padding", "dilation")
        return {name: each(getattr(self, name), self.dimensions, name) for name in names}

    def after(self, given: Signal) -> Signal:
        channels, *space = floats(given, self.dimensions + 1)
        if channels % self.groups or self.channels % self.groups:
            raise UnfitError(
                f"groups is {self.groups}; it must divide the {channels} channels before and {self.channels} after"
            )
        window = self.window()
        sides = slid(tuple(space), window["kernel_size"], window["stride"], window["padding"], window["dilation"])
        return Signal(shape=(self.channels, *sides))

    def weights(self, given: Signal) -> int:
        kernel = math.prod(self.window()["kernel_size"])
        return self.channels * (given.shape[0] // self.groups * kernel + self.bias)


class Conv1d(_Convolution):
    """A convolution over (channels, length)."""

    dimensions: ClassVar[int] = 1
    kind: Literal["conv1d"] = "conv1d"


class Conv2d(_Convolution):
    """A convolution over (channels, height, width)."""

    dimensions: ClassVar[int] = 2
    kind: Literal["conv2d"] = "conv2d"


class Conv3d(_Convolution):
    """A convolution over (channels, depth, height, width)."""

    dimensions: ClassVar[int] = 3
    kind: Literal["conv3d"] = "conv3d"


class Pool(Layer):
    """The largest or the mean in each window."""

    kind: Literal["max_pool", "avg_pool"]
    kernel_size: Kernel
    stride: Step | None = Field(default=None, description="left out: as the kernel")
    padding: Padding = (0,)

    def window(self, dimensions: int) -> dict[str, tuple[int, ...]]:
        """The fields that are one number a dimension."""
        found = {name: each(getattr(self, name), dimensions, name) for name in ("kernel_size", "padding")}
        found["stride"] = each(self.stride, dimensions, "stride") if self.stride else found["kernel_size"]
        if any(2 * pad > wide for pad, wide in zip(found["padding"], found["kernel_size"], strict=True)):
            raise UnfitError("padding is more than half of the kernel, which torch does not take")
        return found

    def after(self, given: Signal) -> Signal:
        channels, *space = floats(given, 2, 3, 4)
        window = self.window(len(space))
        sides = slid(tuple(space), window["kernel_size"], window["stride"], window["padding"], (1,) * len(space))
        return Signal(shape=(channels, *sides))


class AdaptivePool(Layer):
    """The mean in as many windows as are wanted."""

    kind: Literal["adaptive_avg_pool"] = "adaptive_avg_pool"
    output_size: Kernel = (1,)

    def after(self, given: Signal) -> Signal:
        channels, *space = floats(given, 2, 3, 4)
        return Signal(shape=(channels, *each(self.output_size, len(space), "output_size")))
