"""ColorFormer's encoder, the GLH-Transformer: a Swin Transformer that also sees the whole map.

Ji et al., "ColorFormer: Image Colorization via Color Memory Assisted Hybrid-Attention Transformer",
ECCV 2022. Written from that description over mmpretrain's Swin; README.md says what is
chosen where the description is silent.
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

    One projection makes the keys and values of both. The relative position bias is that among the
    window's tokens; pooled tokens have none. Where a window reaches beyond the map, nothing attends
    to what is there.

    Args:
        local: Swin's attention of windows that are not shifted. Its parameters, and their names,
            become this module's, so that weights of Swin load.
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

        # Of the pooled tokens' projection, the queries would be of no use.
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
        """What is added to the logits: (heads, N, keys), or (windows, heads, N, keys)."""
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
    """Swin-T whose even blocks add globally pooled tokens to each window's keys and values.

    The odd blocks shift their windows, as in Swin. It has Swin's parameters under Swin's names:
    pooling adds none.

    Args:
        arch: mmpretrain's name ('tiny', ...), or a dict with `embed_dims`, `depths`, `num_heads`.
        window_size: tokens per side of a window.
        pool_size: tokens per side of the pooled map; None makes it a window's.
        drop_path_rate: stochastic depth of the last block.
        out_indices: stages whose maps are returned.
        kwargs: other arguments of mmpretrain's SwinTransformer.

    Raises:
        ValueError: if a size is no whole number of at least 1.
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
