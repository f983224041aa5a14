"""Where a CUDA device's kernels take other memory than the CPU's, whose operations are traced.

While the rules are on, torch's dispatcher answers as on CUDA: dropout keeps a mask of one byte an element, attention
runs in fused kernels also with dropout, and autocast keeps the operations in fp32 that it keeps on CUDA.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

#: Run in fp32 by CUDA's autocast and not by the CPU's (docs "Automatic Mixed Precision", CUDA Ops that autocast to
#: float32; aten/src/ATen/autocast_mode.h). Overload -> whether it takes the type as an argument.
_FP32_ON_CUDA: Mapping[str, bool] = {
    "softmax.int": True,
    "log_softmax.int": True,
    "sum": True,
    "sum.dim_IntList": True,
    "cumsum": True,
    "prod": True,
    "layer_norm": False,
    "group_norm": False,
    "exp": False,
    "log": False,
    "pow.Tensor_Scalar": False,
    "pow.Tensor_Tensor": False,
    "rsqrt": False,
    "reciprocal": False,
    "norm.Scalar": False,
    "softplus": False,
    "cosine_similarity": False,
    "nll_loss": False,
    "nll_loss2d": False,
    "l1_loss": False,
    "smooth_l1_loss": False,
    "mse_loss": False,
    "huber_loss": False,
    "kl_div": False,
    "binary_cross_entropy_with_logits": False,
    "dist": False,
    "renorm": False,
}

_FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


@contextmanager
def cuda_rules() -> Iterator[None]:
    """On while the context lasts, for the whole process."""
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    library.impl("dropout", _dropout, "AutogradCPU")  # type: ignore[no-untyped-call]
    library.impl("scaled_dot_product_attention", _attention, "AutogradCPU")  # type: ignore[no-untyped-call]
    for name, takes_type in _FP32_ON_CUDA.items():
        if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "AutocastCPU"):
            library.impl(name, _in_fp32(name, takes_type), "AutocastCPU")  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        library._destroy()  # type: ignore[no-untyped-call]


def _dropout(input: Tensor, p: float, train: bool) -> Tensor:
    if not train or p == 0 or input.numel() == 0:
        return input
    out: Tensor = torch.native_dropout(input, p, train)[0]
    return out


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    backends: Any = torch.backends.cuda
    fused = backends.flash_sdp_enabled() or backends.mem_efficient_sdp_enabled()
    mask_learns = attn_mask is not None and attn_mask.requires_grad
    if not fused or mask_learns or query.dim() != 4 or query.size(-1) != value.size(-1):
        math: Tensor = torch.ops.aten._scaled_dot_product_attention_math(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )[0]
        return math
    if enable_gqa and key.size(1) != query.size(1):
        times = query.size(1) // key.size(1)
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    if attn_mask is not None and attn_mask.dtype != torch.bool:
        attn_mask = attn_mask.to(query.dtype)
    out: Tensor = _FLASH(query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=scale)[0]
    return out


def _in_fp32(name: str, takes_type: bool) -> Callable[..., Any]:
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
    autocast = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            if takes_type and kwargs.get("dtype") is None and _is_low(args[0]):
                return operation(*args, **(kwargs | {"dtype": torch.float32}))
            return operation(*pytree.tree_map_only(Tensor, _raised, args), **kwargs)

    return kernel


def _is_low(tensor: Tensor) -> bool:
    return tensor.dtype in {torch.bfloat16, torch.float16}


def _raised(tensor: Tensor) -> Tensor:
    return tensor.float() if _is_low(tensor) else tensor


def _flash_backward_bytes(grad: Tensor, query: Tensor, *rest: Any, **named: Any) -> int:
    """Flash attention adds up dQ in fp32 (dq_accum) beside softmax_d; the kernel for fp32 keeps delta alone."""
    del grad, rest, named
    batch, heads, length, width = query.shape
    rows = batch * heads * (-(-length // 128) * 128) * 4
    return rows * (1 + -(-width // 32) * 32) if _is_low(query) else rows


def _loss_bytes(input: Tensor, target: Tensor, reduction: int = 1, *rest: Any) -> int:
    """The loss of each element, before their mean or sum (aten/src/ATen/native/BinaryOps.cpp)."""
    del rest
    if reduction == 0:
        return 0
    shape: torch.Size = torch.broadcast_shapes(input.shape, target.shape)  # type: ignore[no-untyped-call]
    return shape.numel() * input.dtype.itemsize


def _convolution_backward_bytes(grad: Tensor, *rest: Any) -> int:
    """A gradient that is not contiguous is copied (aten/src/ATen/native/cudnn/ConvShared.cpp)."""
    del rest
    dense = grad.is_contiguous() or (grad.dim() == 4 and grad.is_contiguous(memory_format=torch.channels_last))
    return 0 if dense else grad.numel() * grad.dtype.itemsize


#: Schema -> bytes that a kernel takes from torch's allocator while it runs, on every device.
KERNEL_BYTES: Mapping[str, Callable[..., int]] = {
    "aten::mse_loss": _loss_bytes, "aten::smooth_l1_loss": _loss_bytes, "aten::huber_loss": _loss_bytes
}  # fmt: skip
#: The same on CUDA (aten/src/ATen/native/transformers/cuda: flash_api.cpp, attention_backward.cu).
CUDA_KERNEL_BYTES: Mapping[str, Callable[..., int]] = {
    **KERNEL_BYTES,
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": _flash_backward_bytes,
    "aten::convolution_backward": _convolution_backward_bytes,
}
#: cuBLAS takes :4096:2:16:8 (KiB and counts) from torch's allocator at its first product
#: (aten/src/ATen/cuda/CublasHandlePool.cpp; more on Hopper).
CUBLAS_WORKSPACE_BYTES = 4096 * 1024 * 2 + 16 * 1024 * 8
