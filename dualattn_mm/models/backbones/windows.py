"""Attention in dilated windows of maps of any size (eq. 5 and 6 of the paper)."""

from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor

from .compilation import is_compiling, known_zero, register_attention

# CUDA's kernels for attention cannot process 65,536 windows or more at once, and count the elements
# of a call, padded to 128 tokens, in 32 bits.
MOST_WINDOWS = 2**15


def padding(size: int, divisor: int) -> int:
    """Return how much a size lacks to the next multiple of `divisor`.

    It is -size % divisor, in a form that a compiler with dynamic sizes simplifies: the padded size
    becomes a product, and a chain of halvings a single division.
    """
    return ((size - 1) // divisor + 1) * divisor - size


def dilated_partition(x: Tensor, window_size: int) -> Tensor:
    """Split a map into dilated windows (the grid partition of Sec. III-C, eq. 5).

    Args:
        x: (B, H, W, C). If G does not divide H or W, zeros at the bottom and right fill it up.
        window_size: G, tokens per side of a window.

    Returns:
        (B, H/G * W/G, G * G, C); window (a, b) holds the pixels `x[:, a::H/G, b::W/G]`.
    """
    batch, height, width, channels = x.shape
    g = window_size
    pad_h, pad_w = padding(height, g), padding(width, g)
    if not (known_zero(pad_h) and known_zero(pad_w)):
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    x = x.reshape(batch, g, (height + pad_h) // g, g, (width + pad_w) // g, channels)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, g * g, channels)


def dilated_reverse(windows: Tensor, window_size: int, height: int, width: int) -> Tensor:
    """Undo `dilated_partition`: (B, windows, G * G, C) to (B, H, W, C), contiguous."""
    batch, _, _, channels = windows.shape
    g = window_size
    pad_h, pad_w = padding(height, g), padding(width, g)
    x = windows.view(batch, (height + pad_h) // g, (width + pad_w) // g, g, g, channels)
    x = x.permute(0, 3, 1, 4, 2, 5).reshape(batch, height + pad_h, width + pad_w, channels)
    if known_zero(pad_h) and known_zero(pad_w):
        return x
    # Not by slices, whose length a compiler would have to prove. A linear layer would copy as
    # well, but only if needed, and a graph would be bound to that.
    x = x.narrow(1, 0, height).narrow(2, 0, width)
    return x.clone(memory_format=torch.contiguous_format)


def key_mask(x: Tensor, window_size: int) -> Tensor | None:
    """Return a mask that is True for keys inside the map: (B * windows, 1, 1, G * G).

    It is None if `dilated_partition(x, window_size)` adds no zeros.
    """
    g = window_size
    if known_zero(padding(x.shape[1], g)) and known_zero(padding(x.shape[2], g)):
        return None
    on_map = x.new_ones(*x.shape[:3], 1, dtype=torch.bool)
    return dilated_partition(on_map, g).reshape(-1, 1, 1, g * g)


def _heads(windows: Tensor, parts: int, head_dim: int) -> tuple[Tensor, ...]:
    """Split the channels of windows: views (B * windows, heads, G * G, head_dim), one per part."""
    x = windows.flatten(0, 1).unflatten(-1, (parts, -1, head_dim))
    return x.permute(2, 0, 3, 1, 4).unbind(0)


def attend(windows: Tensor, mask: Tensor | None, head_dim: int) -> Tensor:
    """Map q, k and v in windows (B, windows, G * G, 3C) to (B, windows, G * G, C)."""
    # These are views: the fused attention accepts strided heads and returns the same strides.
    q, k, v = _heads(windows, 3, head_dim)
    if torch.jit.is_tracing() or is_compiling() or len(q) <= MOST_WINDOWS:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    else:
        calls = zip(
            *(x.split(MOST_WINDOWS) for x in (q, k, v)),
            repeat(None) if mask is None else mask.split(MOST_WINDOWS),
            strict=False,
        )
        parts = [F.scaled_dot_product_attention(*given).transpose(1, 2) for given in calls]
        out = torch.cat(parts)
    return out.reshape(windows.shape[0], -1, windows.shape[2], windows.shape[3] // 3)


def attention_of_any_size(qkv: Tensor, window_size: int, head_dim: int) -> Tensor:
    """Map q, k and v (B, H, W, 3C) to (B, H, W, C), as an operator that compilers do not look into.

    Seen by a compiler, the numbers of windows would also bind its code to several or a single one.
    """
    return torch.ops.dualattn_mm.dilated_attention(qkv, window_size, head_dim)


def _attention(qkv: Tensor, window_size: int, head_dim: int) -> Tensor:
    _, height, width, _ = qkv.shape
    out = attend(dilated_partition(qkv, window_size), key_mask(qkv, window_size), head_dim)
    return dilated_reverse(out, window_size, height, width)


def _gradient(grad: Tensor, qkv: Tensor, window_size: int, head_dim: int) -> Tensor:
    """Return the gradient of `_attention` with respect to `qkv`."""
    _, height, width, channels = qkv.shape
    q, k, v = _heads(dilated_partition(qkv, window_size), 3, head_dim)
    (grad,) = _heads(dilated_partition(grad, window_size), 1, head_dim)
    scale, wide = head_dim**-0.5, torch.promote_types(qkv.dtype, torch.float32)
    logits = (scale * q @ k.mT).to(wide)
    mask = key_mask(qkv, window_size)
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    weights = logits.softmax(-1)
    grad_weights = (grad @ v.mT).to(wide)
    grad_logits = weights * (grad_weights - (weights * grad_weights).sum(-1, keepdim=True))
    grad_logits = scale * grad_logits.to(q.dtype)
    grads = grad_logits @ k, grad_logits.mT @ q, weights.to(q.dtype).mT @ grad
    windows = torch.stack(grads, 2).permute(0, 3, 2, 1, 4)
    windows = windows.reshape(len(qkv), -1, window_size**2, channels)
    return dilated_reverse(windows, window_size, height, width)


register_attention('dilated_attention', _attention, _gradient)
