"""Signs of numbers as bits, eight to a byte.

>>> packed = pack(torch.tensor([1.0, -2.0, 3.0, 0.0, -1.0, -1.0, -1.0, -1.0]))
>>> packed.tolist()
[176]
>>> unpack(packed).tolist()
[1.0, -1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]
"""

import torch
from torch import Tensor

_PLACES = (128, 64, 32, 16, 8, 4, 2, 1)


def pack(numbers: Tensor) -> Tensor:
    """One bit for each of (…, 8 n) numbers, 1 where it is not negative: shape (…, n), uint8."""
    places = torch.tensor(_PLACES, dtype=torch.uint8, device=numbers.device)
    signs = (numbers >= 0).view(*numbers.shape[:-1], -1, 8)
    return torch.sum(signs * places, -1, dtype=torch.uint8)


def unpack(packed: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """1 and -1 for the bits of (…, n) bytes: shape (…, 8 n)."""
    places = torch.tensor(_PLACES, dtype=torch.uint8, device=packed.device)
    bits = (packed.unsqueeze(-1) & places) > 0
    return (bits.to(dtype) * 2 - 1).flatten(-2)
