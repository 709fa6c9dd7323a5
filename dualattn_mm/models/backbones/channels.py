"""Attention between the channels of maps of any size (eq. 3 and 4 of the paper)."""

import torch
from torch import Tensor

from .compilation import register_attention


def split_groups(qkv: Tensor, group_dim: int) -> tuple[Tensor, ...]:
    """Map q, k and v (B, H, W, 3C) to three tensors (B * C / M, H * W, M)."""
    batch, height, width, channels = qkv.shape
    tokens, groups = height * width, channels // 3 // group_dim
    return (
        qkv.reshape(batch, tokens, 3, groups, group_dim)
        .permute(2, 0, 3, 1, 4)
        .reshape(3, batch * groups, tokens, group_dim)
        .unbind(0)
    )


def factor_of_queries(scale: str, channels: int, group_dim: int, tokens: int) -> float:
    """Return the factor on q that one of `FCA_SCALES` means."""
    return {'channel': channels, 'group': group_dim, 'tokens': tokens}[scale] ** -0.5


def channel_logits(q: Tensor, k: Tensor, factor: float) -> Tensor:
    """Return the scaled products of channels over all tokens, (B * C / M, M, M).

    They are float32, or float64 for float64 channels.
    """
    if q.dtype == torch.float16:  # its range is too small for a sum over all pixels
        q, factor = q * factor, 1
    logits = torch.bmm(q.transpose(1, 2), k)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).mul_(factor)


def channel_weights(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the softmax over the last channel, without numbers that slow down a CPU.

    The weights sum to 1, so smaller ones are negligible. A CPU takes a hundred times as long to
    multiply by denormal float32 numbers (below 1e-38).
    """
    weights = logits.softmax(dim=-1)
    return weights.masked_fill(weights < 1e-30, 0).to(dtype)


def mix_channels(qkv: Tensor, group_dim: int, scale: str) -> Tensor:
    """Map q, k and v (B, H, W, 3C) to (B, H * W, C / M, M), a view."""
    batch, height, width, channels = qkv.shape
    q, k, v = split_groups(qkv, group_dim)
    factor = factor_of_queries(scale, channels // 3, group_dim, height * width)
    weights = channel_weights(channel_logits(q, k, factor), v.dtype)
    mixed = torch.bmm(v, weights.transpose(1, 2))  # torch's first ONNX exporter has no .mT
    return mixed.unflatten(0, (batch, -1)).transpose(1, 2)


def channel_attention_of_any_size(qkv: Tensor, group_dim: int, scale: str) -> Tensor:
    """Do the same to (B, H, W, C), as an operator that compilers do not look into."""
    return torch.ops.dualattn_mm.channel_attention(qkv, group_dim, scale)


def _attention(qkv: Tensor, group_dim: int, scale: str) -> Tensor:
    return mix_channels(qkv, group_dim, scale).reshape(*qkv.shape[:3], -1)


def _gradient(grad: Tensor, qkv: Tensor, group_dim: int, scale: str) -> Tensor:
    """Return the gradient of `_attention` with respect to `qkv`."""
    batch, height, width, channels = qkv.shape
    q, k, v = split_groups(qkv, group_dim)
    factor = factor_of_queries(scale, channels // 3, group_dim, height * width)
    wide = torch.promote_types(q.dtype, torch.float32)
    weights = channel_weights(channel_logits(q, k, factor), wide)
    grad = grad.reshape(batch, height * width, -1, group_dim).transpose(1, 2).flatten(0, 1)
    grad_weights = torch.bmm(grad.mT, v).to(wide)
    grad_logits = weights * (grad_weights - (weights * grad_weights).sum(-1, keepdim=True))
    grad_logits = grad_logits.to(q.dtype)
    grads = (
        torch.bmm(k, grad_logits.mT) * factor,
        torch.bmm(q * factor, grad_logits),
        torch.bmm(grad, weights.to(grad.dtype)),
    )
    # (3, B, C / M, H * W, M) to (B, H * W, 3, C / M, M)
    of_qkv = torch.stack(grads).unflatten(1, (batch, -1)).permute(1, 3, 0, 2, 4)
    return of_qkv.reshape(batch, height, width, channels).contiguous()


register_attention('channel_attention', _attention, _gradient)
