"""The head of the colorizer without Color-Attention (Table II)."""

from collections.abc import Callable

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from dualattn_mm.models.backbones.attention import DualBlock
from dualattn_mm.utils.checks import require, require_natural

_WINDOW_SIZE = 7  # used by Swin and Twins
_SR_RATIO = 8  # used by Twins' global attention at a quarter of the image size


class _OnMap(nn.Module):
    """Apply mmpretrain blocks that take tokens and (H, W) to maps (B, C, H, W)."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(x.shape[2:])
        tokens = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, size)
        return tokens.transpose(1, 2).unflatten(2, size)


class _DualAttention(nn.Module):
    """Apply a pair of half-blocks of the encoder to maps (B, C, H, W)."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.block = DualBlock(dim, ('fca', 'sda'), 8, head_dim, head_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _dual_attention(dim: int, num_heads: int, i: int) -> nn.Module:
    return _DualAttention(dim, dim // num_heads)


def _resnet(dim: int, num_heads: int, i: int) -> nn.Module:
    from mmpretrain.models.backbones.resnet import Bottleneck

    return Bottleneck(dim, dim)


def _swin(dim: int, num_heads: int, i: int) -> nn.Module:
    from mmpretrain.models.backbones.swin_transformer import SwinBlock

    shift = i % 2 == 1
    return _OnMap(SwinBlock(dim, num_heads, _WINDOW_SIZE, shift=shift, pad_small_map=True))


def _glh(dim: int, num_heads: int, i: int) -> nn.Module:
    """Build Swin blocks; the even ones also attend to the pooled map."""
    from .glh_transformer import GlobalLocalMSA

    swin = _swin(dim, num_heads, i)
    if i % 2 == 0:
        swin.blocks[0].attn = GlobalLocalMSA(swin.blocks[0].attn, pool_size=_WINDOW_SIZE)
    return swin


def _twins(dim: int, num_heads: int, i: int) -> nn.Module:
    """Alternate local and global attention; positions are encoded after the first block (SVT)."""
    from mmpretrain.models.backbones.twins import (
        ConditionalPositionEncoding,
        GSAEncoderLayer,
        LSAEncoderLayer,
    )

    if i % 2:
        return _OnMap(GSAEncoderLayer(dim, num_heads, 4 * dim, sr_ratio=_SR_RATIO, qkv_bias=False))
    local = LSAEncoderLayer(dim, num_heads, 4 * dim, window_size=_WINDOW_SIZE, qkv_bias=False)
    return _OnMap(local, *[ConditionalPositionEncoding(dim, dim)] * (i == 0))


_KINDS: dict[str, Callable[[int, int, int], nn.Module]] = dict(
    dual_attention=_dual_attention, glh=_glh, resnet=_resnet, swin=_swin, twins=_twins
)


@MODELS.register_module()
class EncoderBlocksHead(BaseModule):
    """Encoder blocks that replace Color-Attention (Table II).

    The paper only says that their number is the same. We chose one block for each of the six layers
    of Color-Attention, on the map that the layer would attend to, with heads and groups of
    `in_channels / num_heads` channels. The output layers follow.

    Args:
        kind: 'dual_attention', or with mmpretrain 'glh' (of GLHTransformer), 'resnet'
            (bottlenecks), 'swin' or 'twins' (SVT).
        in_channels: channels of the map; divisible by `num_heads`.
        num_blocks: number of blocks; a pair of half-blocks is one block of dual attention, as in
            the depths of the encoder.
        num_heads: number of attention heads in a block.
        upscale: scale factor from the map to the output.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if an argument is invalid.
        ImportError: if the kind needs mmpretrain, which is not installed.
    """

    def __init__(
        self,
        kind: str,
        in_channels: int = 256,
        num_blocks: int = 6,
        num_heads: int = 8,
        upscale: int = 4,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require(kind in _KINDS, 'kind', kind, f'one of {tuple(_KINDS)}')
        require_natural(
            in_channels=in_channels, num_blocks=num_blocks, num_heads=num_heads, upscale=upscale
        )
        require(
            in_channels % num_heads == 0,
            'in_channels',
            in_channels,
            f'divisible by num_heads={num_heads}',
        )
        self.upscale = upscale
        self.blocks = nn.Sequential(
            *(_KINDS[kind](in_channels, num_heads, i) for i in range(num_blocks))
        )
        self.to_ab = nn.Conv2d(in_channels, 2 * upscale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the color of a map.

        Args:
            x: (B, in_channels, h, w), Z_memory.

        Returns:
            (B, 2, upscale * h, upscale * w): a and b, CIELAB units, unbounded.
        """
        return F.pixel_shuffle(self.to_ab(self.blocks(x)), self.upscale)
