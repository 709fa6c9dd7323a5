"""ColorFormer's encoder, the GLH-Transformer: a Swin Transformer that also sees the whole map.

Ji et al., "ColorFormer: Image Colorization via Color Memory Assisted Hybrid-Attention Transformer",
ECCV 2022. The code follows a short description, not the paper, and extends mmpretrain's Swin;
README.md lists our choices.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmpretrain.models import SwinTransformer
from mmpretrain.models.utils import ShiftWindowMSA
from torch import Tensor

from dualattn_mm.utils.checks import require_natural


class GlobalLocalMSA(BaseModule):
    """Attention of each window to its own tokens and to pooled tokens of the whole map.

    A single projection computes the keys and values of both. Only the tokens of the window have a
    relative position bias. If a window extends beyond the map, the tokens outside are masked.

    Args:
        local: Swin's attention for windows without shift. This module takes over its parameters
            and their names, so that Swin weights can be loaded.
        pool_size: side of the map of pooled tokens; a smaller map is not pooled.
    """

    def __init__(self, local: ShiftWindowMSA, pool_size: int) -> None:
        super().__init__()
        self.w_msa = local.w_msa
        self.drop = local.drop
        self.window_size = local.window_size
        self.pool_size = pool_size

    def forward(self, query: Tensor, hw_shape: Sequence[int]) -> Tensor:
        """Map (B, H * W, C), with (H, W) as `hw_shape`, to the same shape."""
        batch, _, channels = query.shape
        height, width = hw_shape
        msa, side = self.w_msa, self.window_size
        x = query.view(batch, height, width, channels)
        padded = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        windows = ShiftWindowMSA.window_partition(padded, side)
        windows = windows.view(batch, -1, side**2, channels)
        pooled_size = min(height, self.pool_size), min(width, self.pool_size)
        pooled = F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), pooled_size)
        pooled = pooled.flatten(2).transpose(1, 2).unsqueeze(1)

        # The queries of the pooled tokens are not needed.
        q, k, v = (self._heads(t) for t in msa.qkv(windows).chunk(3, dim=-1))
        weight, bias = msa.qkv.weight[channels:], msa.qkv.bias
        pooled = F.linear(pooled, weight, None if bias is None else bias[channels:])
        for_all = (-1, k.shape[1], -1, -1, -1)
        k, v = (
            torch.cat((own, self._heads(whole).expand(for_all)), dim=-2)
            for own, whole in zip((k, v), pooled.chunk(2, dim=-1), strict=True)
        )
        out = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=self._bias(padded.shape[1:3], (height, width), k.shape[-2]).to(q.dtype),
            dropout_p=msa.attn_drop.p if self.training else 0.0,
            scale=msa.scale,
        )
        out = out.transpose(2, 3).reshape(-1, side, side, channels)
        out = ShiftWindowMSA.window_reverse(out, *padded.shape[1:3], side)
        out = out[:, :height, :width].reshape(batch, height * width, channels)
        return self.drop(msa.proj_drop(msa.proj(out)))

    def _heads(self, tokens: Tensor) -> Tensor:
        """Map (B, windows, N, C) to (B, windows, heads, N, C / heads)."""
        return tokens.unflatten(-1, (self.w_msa.num_heads, -1)).transpose(2, 3)

    def _bias(self, padded: Sequence[int], real: Sequence[int], keys: int) -> Tensor:
        """Return the bias of the logits, (heads, N, keys) or (windows, heads, N, keys)."""
        msa, tokens = self.w_msa, self.window_size**2
        bias = msa.relative_position_bias_table[msa.relative_position_index.flatten()]
        bias = bias.view(tokens, tokens, -1).permute(2, 0, 1)
        bias = F.pad(bias, (0, keys - tokens))
        if tuple(padded) == tuple(real):
            return bias
        outside = bias.new_zeros(1, *padded, 1)
        outside[:, real[0] :] = outside[:, :, real[1] :] = -torch.inf
        outside = ShiftWindowMSA.window_partition(outside, self.window_size)
        return bias + F.pad(outside.view(-1, 1, 1, tokens), (0, keys - tokens))


@MODELS.register_module()
class GLHTransformer(SwinTransformer):
    """Swin-T whose even blocks add globally pooled tokens to the keys and values of each window.

    The odd blocks shift their windows, as in Swin. The parameters and their names are those of
    Swin, because pooling has no parameters.

    Args:
        arch: mmpretrain's name ('tiny', ...), or a dict with `embed_dims`, `depths`, `num_heads`.
        window_size: tokens per side of a window.
        pool_size: tokens per side of the pooled map; None uses `window_size`.
        drop_path_rate: stochastic depth of the last block.
        out_indices: stages whose maps are returned.
        kwargs: other arguments of mmpretrain's SwinTransformer.

    Raises:
        ValueError: if a size is not a positive integer.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'tiny',
        window_size: int = 7,
        pool_size: int | None = None,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        **kwargs: Any,
    ) -> None:
        pool_size = window_size if pool_size is None else pool_size
        require_natural(window_size=window_size, pool_size=pool_size)
        super().__init__(
            arch=arch,
            window_size=window_size,
            drop_path_rate=drop_path_rate,
            out_indices=out_indices,
            pad_small_map=True,
            **kwargs,
        )
        for stage in self.stages:
            for block in stage.blocks[::2]:
                block.attn = GlobalLocalMSA(block.attn, pool_size)
